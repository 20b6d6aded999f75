"""Small networks for grey 8x8 images and 10 classes, written as people write theirs: ``tests.own_networks:name``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm

SHAPE = (1, 8, 8)
CLASSES = 10


class Network(nn.Module):
    """Layers by name, and a function of them and the images."""

    def __init__(self, run: Callable[[Network, Tensor], Any], **layers: nn.Module | Tensor) -> None:
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, nn.Parameter(layer) if isinstance(layer, Tensor) else layer)

    def __getattr__(self, name: str) -> Any:  # for annotations alone: layers are found as nn.Module finds them
        return super().__getattr__(name)

    def forward(self, images: Tensor) -> Any:
        return self.run(self, images)


def conv(inputs: int = 16, outputs: int = 16, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)


def pooled(features: Tensor) -> Tensor:
    return features.flatten(2).mean(2)


def around(*layers: nn.Module, features: int = 16) -> nn.Module:
    """Return a network with a stem of 16 channels before `layers` and a linear layer after them."""
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, CLASSES))
    return nn.Sequential(conv(1), nn.BatchNorm2d(16), nn.ReLU(), *layers, *head)


def recurrent() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = F.relu(net.stem(images))
        for _ in range(3):
            found = F.relu(net.norm(net.layer(found)))
        return net.head(pooled(found))

    return Network(run, stem=conv(1), layer=conv(), norm=nn.BatchNorm2d(16), head=nn.Linear(16, CLASSES))


def own_norms() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = F.relu(net.first(net.layer(net.stem(images))))
        return net.head(pooled(F.relu(net.second(net.layer(found)))))

    norms = {"first": nn.BatchNorm2d(16), "second": nn.BatchNorm2d(16)}
    return Network(run, stem=conv(1), layer=conv(), **norms, head=nn.Linear(16, CLASSES))


def with_and_without() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = F.relu(net.stem(images))
        return net.head(pooled(torch.cat([net.norm(net.layer(found)), net.layer(found.flip(3))], 1)))

    return Network(run, stem=conv(1), layer=conv(), norm=nn.BatchNorm2d(16), head=nn.Linear(32, CLASSES))


def siamese() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        both = [pooled(F.relu(net.norm(net.layer(each)))) for each in (images, images.flip(3))]
        return net.scale(net.head(torch.cat(both, 1)))

    scale = nn.BatchNorm1d(CLASSES)
    return Network(run, layer=conv(1), norm=nn.BatchNorm2d(16), head=nn.Linear(32, CLASSES), scale=scale)


def one_norm() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        return net.head(pooled(F.relu(net.norm(net.second(F.relu(net.norm(net.first(images))))))))

    return Network(run, first=conv(1), second=conv(), norm=nn.BatchNorm2d(16), head=nn.Linear(16, CLASSES))


def read_elsewhere() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        weight = net.layer.weight
        return net.head(pooled(net.norm(net.layer(images)) + F.conv2d(images, weight, padding=1)))

    return Network(run, layer=conv(1), norm=nn.BatchNorm2d(16), head=nn.Linear(16, CLASSES))


def transposed() -> nn.Module:
    return around(nn.ConvTranspose2d(16, 24, 3, stride=2), nn.BatchNorm2d(24), nn.ReLU(), features=24)


def transposed_groups() -> nn.Module:
    return around(
        nn.ConvTranspose2d(16, 8, 4, 2, 1, groups=2), nn.ReLU(), nn.ConvTranspose2d(8, 8, 3, groups=8), features=8
    )


def rows_normed() -> nn.Module:
    """A norm over rows behind a linear layer over columns, of which there are as many."""
    flat = (nn.Flatten(1, 2), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*flat, nn.Linear(64, CLASSES))


def two_heads() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = pooled(F.relu(net.body(images)))
        return torch.cat([net.low(found), net.high(found)], 1)

    return Network(run, body=conv(1, 32), low=nn.Linear(32, 5), high=nn.Linear(32, 5))


def ensemble() -> nn.Module:
    return Network(lambda net, images: (net.one(images) + net.two(images)) / 2, one=around(conv()), two=around(conv()))


def gate() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = pooled(F.relu(net.body(images)))
        return net.classifier(found) * torch.sigmoid(net.gate(found))

    return Network(run, body=conv(1, 32), classifier=nn.Linear(32, CLASSES), gate=nn.Linear(32, 1))


def spare() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = pooled(F.relu(net.body(images)))
        return {"logits": net.classifier(found), "embedding": net.projection(found)}["logits"]

    return Network(run, body=conv(1, 32), classifier=nn.Linear(32, CLASSES), projection=nn.Linear(32, 32))


def cosine() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        centres = net.centres
        return 10 * F.linear(F.normalize(net.embed(pooled(F.relu(net.body(images))))), F.normalize(centres))

    return Network(run, body=conv(1, 32), embed=nn.Linear(32, 16), centres=torch.randn(CLASSES, 16))


def pooled_head() -> nn.Module:
    """A head that is a 1x1 convolution before the pooling."""
    return nn.Sequential(conv(1, 32), nn.ReLU(), nn.Conv2d(32, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def group_norm() -> nn.Module:
    return around(conv(16, 64), nn.GroupNorm(32, 64), nn.ReLU(), features=64)


def three_groups() -> nn.Module:
    return around(conv(16, 48), nn.GroupNorm(3, 48), nn.ReLU(), features=48)


def split() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        left, right = net.second(F.relu(net.first(images))).split([16, 16], 1)
        return net.head(pooled(torch.cat([left, F.relu(net.branch(right))], 1)))

    return Network(run, first=conv(1, 32), second=conv(32, 32), branch=conv(), head=nn.Linear(32, CLASSES))


def rows() -> nn.Module:
    """One-dimensional convolutions."""
    layers = (nn.Conv1d(8, 32, 3, padding=1), nn.BatchNorm1d(32), nn.PReLU(32), nn.Conv1d(32, 32, 3), nn.ReLU())
    return nn.Sequential(nn.Flatten(1, 2), *layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, CLASSES))


def volume() -> nn.Module:
    """Three-dimensional convolutions."""
    layers = (nn.Unflatten(1, (1, 1)), nn.Conv3d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv3d(16, 16, 3, padding=1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, CLASSES))


def weight_norm() -> nn.Module:
    return around(parametrizations.weight_norm(conv()), nn.BatchNorm2d(16), spectral_norm(conv()))


def attention() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = net.stem(images).flatten(2).transpose(1, 2)
        return net.head((found + net.attention(found, found, found)[0]).mean(1))

    return Network(
        run, stem=conv(1, 32), attention=nn.MultiheadAttention(32, 4, batch_first=True), head=nn.Linear(32, CLASSES)
    )


def layer_norm() -> nn.Module:
    return around(nn.LayerNorm([16, 8, 8]))


def root_mean_square() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        found = net.body(images.flatten(1))
        return net.head(found + F.silu(net.branch(net.norm(found))))

    layers = {"body": nn.Linear(64, 32), "norm": nn.RMSNorm(32), "branch": nn.Linear(32, 32)}
    return Network(run, **layers, head=nn.Linear(32, CLASSES))


def instance_norm() -> nn.Module:
    return around(conv(), nn.InstanceNorm2d(16, affine=True, track_running_stats=True), nn.ReLU())


def gated() -> nn.Module:
    """Gated linear units, torch's and one of two halves."""

    def run(net: Network, images: Tensor) -> Any:
        passed, gate = net.halves(pooled(F.glu(net.stem(images), 1))).chunk(2, 1)
        return net.head(passed * F.silu(gate))

    return Network(run, stem=conv(1, 32), halves=nn.Linear(16, 64), head=nn.Linear(32, CLASSES))


def experts() -> nn.Module:
    """Two layers, weighed by an image's own numbers, and a map that weighs each pixel."""

    def run(net: Network, images: Tensor) -> Any:
        found = F.relu(net.stem(images))
        share = torch.softmax(net.gate(pooled(found)), 1)
        mixed = net.one(found) * share[:, 0, None, None, None] + net.two(found) * share[:, 1, None, None, None]
        return net.head(pooled(F.relu(mixed) * torch.sigmoid(net.pixels(found))))

    mixed = {"one": conv(16, 32), "two": conv(16, 32), "gate": nn.Linear(16, 2), "pixels": conv(16, 1)}
    return Network(run, stem=conv(1), **mixed, head=nn.Linear(32, CLASSES))


def shuffled() -> nn.Module:
    """Channels of grouped convolutions, shuffled as ShuffleNet's first authors wrote it."""

    def run(net: Network, images: Tensor) -> Any:
        count, channels, height, width = (found := F.relu(net.first(net.stem(images)))).size()
        found = found.view(count, 4, channels // 4, height, width).transpose(1, 2).contiguous()
        return net.head(pooled(net.second(found.view(count, channels, height, width))))

    grouped = {"first": conv(16, 16, 4), "second": conv(16, 16, 4)}
    return Network(run, stem=conv(1), **grouped, head=nn.Linear(16, CLASSES))


def autoencoder() -> nn.Module:
    """A linear layer that is undone by its own weight."""

    def run(net: Network, images: Tensor) -> Any:
        found, weight = F.relu(net.encoder(images.flatten(1))), net.encoder.weight
        return net.head(torch.cat([found, F.linear(found, weight.t())], 1))

    return Network(run, encoder=nn.Linear(64, 24), head=nn.Linear(88, CLASSES))


def tied() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        return net.head(net.other(F.relu(net.step(images.flatten(1)))))

    net = Network(run, step=nn.Linear(64, 64), other=nn.Linear(64, 64), head=nn.Linear(64, CLASSES))
    net.other.weight = net.step.weight
    return net


def standardized() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        weight = net.layer.weight
        weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return net.head(pooled(F.relu(F.conv2d(images, weight, padding=1))))

    return Network(run, layer=conv(1), head=nn.Linear(16, CLASSES))


def template() -> nn.Module:
    """No layer, but a parameter."""

    def run(net: Network, images: Tensor) -> Any:
        matrix = net.matrix
        return images.flatten(1) @ matrix.t()

    return Network(run, matrix=torch.randn(CLASSES, 64))


def tuple_in_training() -> nn.Module:
    return Network(lambda net, images: (net.one(images),) * 2 if net.training else net.one(images), one=around())


def branch_on_values() -> nn.Module:
    return Network(
        lambda net, images: net.one(images) if images.max() > 9 else net.two(images), one=around(), two=around()
    )


def squeezed() -> nn.Module:
    body = nn.Sequential(conv(1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return Network(lambda net, images: net.head(net.body(images).squeeze()), body=body, head=nn.Linear(16, CLASSES))


def batch_statistics() -> nn.Module:
    return around(conv(), nn.BatchNorm2d(16, track_running_stats=False))


def frozen() -> nn.Module:
    return around().requires_grad_(False)


def half() -> nn.Module:
    return Network(lambda net, images: net.one(images.bfloat16()).float(), one=around().bfloat16())


def changed_in_place() -> nn.Module:
    return around(nn.Sigmoid(), nn.ReLU(inplace=True))


def large_pool() -> nn.Module:
    return around(nn.AdaptiveMaxPool2d(3))


def divisor() -> nn.Module:
    return around(nn.AvgPool2d(2, divisor_override=3))


def lstm() -> nn.Module:
    def run(net: Network, images: Tensor) -> Any:
        return net.head(net.rows(images.flatten(1, 2))[0][:, -1])

    return Network(run, rows=nn.LSTM(8, 16, batch_first=True), head=nn.Linear(16, CLASSES))
