"""A model's graph in 8 bits: torch rounds what the int8 network rounds, and every weight gets gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, fx, nn
from torchvision.models import efficientnet

import dlas_ops
from dlas_ops.onnx import folding, quantization
from dlas_ops.onnx.reading import constants_of
from explorer.compression import _fake_quantization
from explorer.core import plugins
from explorer.core.errors import StageFailed
from explorer.line.training.onnx_export import export
from tests import own_networks

SHAPE = (1, 8, 8)
EXAMPLE = torch.linspace(-1, 1, 64).reshape(1, *SHAPE)
GATED = "a block of EfficientNet's"  # a linear bottleneck, a gate, SiLU and a sum
QUICK = ("resnet18", GATED)
MODELS = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.nightly])
    for name in (*plugins.names("model"), GATED)
]


def untrained(name: str, width: float = 0.25) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = plugins.load("model", name).build(width, 10, SHAPE)
    return model


def rounded(model: nn.Module) -> fx.GraphModule:
    return _fake_quantization.quantized(_fake_quantization.inference_graph(model.eval(), EXAMPLE))


def quantizers(network: nn.Module) -> list[_fake_quantization.FakeQuantizer]:
    return [module for module in network.modules() if isinstance(module, _fake_quantization.FakeQuantizer)]


def gated() -> nn.Module:
    """Return a network of a stem, a block and a head as EfficientNet-B0 has them."""
    torch.manual_seed(0)
    block = efficientnet.MBConv(efficientnet.MBConvConfig(6, 3, 1, 16, 16, 1), 0.0, nn.BatchNorm2d)
    stem = (nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
    return nn.Sequential(*stem, block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


@pytest.mark.parametrize("name", MODELS)
def test_it_rounds_as_many_tensors_as_the_int8_network_has_scales(name: str, tmp_path: Path) -> None:
    model = gated() if name == GATED else untrained(name)
    network = rounded(model)
    export(model, EXAMPLE, tmp_path / "network.onnx")
    folded = folding.fold_batch_norms(onnx.load(tmp_path / "network.onnx"))
    producers = {output: node.op_type for node in folded.graph.node for output in node.output}
    scaled = [producers.get(activation) for activation in quantization.activations(folded)]
    assert len(quantizers(network)) == sum(producer not in quantization.SAME_RANGE for producer in scaled)
    weights = [node for node in network.graph.nodes if node.target is _fake_quantization.rounded_weight]
    constants = constants_of(folded)  # products of two activations have no weights
    weighted = [node for node in folded.graph.node if node.op_type in quantization.WEIGHTED]
    assert len(weights) == sum(node.input[1] in constants for node in weighted)


def test_every_weight_gets_gradients() -> None:
    model = untrained("mobilenetv2")
    images = torch.randn(8, *SHAPE)
    network = rounded(model).train()
    network(images).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.count_nonzero(), name
    assert {id(own) for own in network.parameters()} == {id(own) for own in model.parameters()}


def test_folding_a_batch_norm_leaves_the_rounded_weights_as_they_are() -> None:
    torch.manual_seed(0)
    weight, factor = torch.randn(64, 8, 3, 3), (torch.randn(64) * 10).reshape(-1, 1, 1, 1)
    folded = _fake_quantization.rounded_weight(weight * factor, 0)
    torch.testing.assert_close(folded, _fake_quantization.rounded_weight(weight, 0) * factor)


def test_statistics_of_the_model_follow_its_batches_until_they_are_frozen() -> None:
    torch.manual_seed(0)
    model = InPlace()
    network = rounded(model).train()
    images = 3 + torch.randn(16, *SHAPE)
    with torch.no_grad():
        network(images)
        seen = model.stem(images)
    expected = 0.1 * seen.mean((0, 2, 3))
    torch.testing.assert_close(model.norm.running_mean, expected, rtol=0.02, atol=0.02)
    _fake_quantization.freeze(network)
    before = [buffer.clone() for buffer in network.buffers()]  # ranges of activations among them
    with torch.no_grad():
        network(10 * images)
    assert all(torch.equal(old, new) for old, new in zip(before, network.buffers(), strict=True))


def test_weights_are_rounded_by_output_channel_and_activations_as_a_whole() -> None:
    weight = torch.tensor([[127.0, 0.4, -63.6], [12.7, 0.44, -6.36], [0.0, 0.0, 0.0]], requires_grad=True)
    result = _fake_quantization.rounded_weight(weight, 0)
    torch.testing.assert_close(result, torch.tensor([[127.0, 0, -64], [12.7, 0.4, -6.4], [0, 0, 0]]))
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert (weight.grad == 1).all()
    quantizer = _fake_quantization.FakeQuantizer().train()
    quantizer(torch.tensor([-55.0, 200.0]))
    values = torch.tensor([-60.0, -55.0, 0.4, 0.6, 199.0, 300.0], requires_grad=True)
    result = quantizer.eval()(values)
    torch.testing.assert_close(result, torch.tensor([-55.0, -55, 0, 1, 199, 200]))
    result.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 1, 1, 0]


def test_ranges_follow_the_activations_until_they_are_frozen() -> None:
    quantizer = _fake_quantization.FakeQuantizer().train()
    quantizer(torch.tensor([1.0, 2.0]))
    assert quantizer.range.tolist() == [0, 2], "0 has to be one of the 256 values"
    quantizer(torch.tensor([-1.0, 3.0]))
    np.testing.assert_allclose(quantizer.range, [-0.01, 2.01], rtol=1e-5)
    quantizer.observing = False
    quantizer(torch.tensor([-100.0, 100.0]))
    np.testing.assert_allclose(quantizer.range, [-0.01, 2.01], rtol=1e-5)


@pytest.mark.slow
def test_it_predicts_the_outputs_of_the_int8_network(tmp_path: Path) -> None:
    """Most of them: the few values that its 32-bit biases let fall to the other of two of 8 bits differ by far more."""
    torch.manual_seed(0)
    model, images = InPlace(), torch.randn(64, *SHAPE)
    few = images[:8]
    model.train()(images)
    export(model, EXAMPLE, tmp_path / "float.onnx")
    qdq = dlas_ops.quantize(onnx.load(tmp_path / "float.onnx"), images.numpy())
    network = rounded(model)
    _fake_quantization.normalise_batches(network, live=False)
    for quantizer, stated in zip(quantizers(network.eval()), ranges(qdq), strict=True):
        quantizer.range.copy_(torch.tensor(stated))
    with torch.no_grad():
        predicted, unrounded = (each(few).numpy() for each in (network, model.eval()))
    # In NumPy: ONNX Runtime's sums of 8-bit products saturate at 16 bits where a processor has no VNNI.
    evaluator: Any = ReferenceEvaluator(qdq)
    outputs = np.concatenate([evaluator.run(["logits"], {"image": image[np.newaxis]})[0] for image in few.numpy()])
    assert np.median(np.abs(outputs - predicted)) < 0.05 * np.median(np.abs(outputs - unrounded))
    for quantizer in quantizers(network):
        quantizer.batches.zero_()
    with torch.no_grad():
        network.train()(images)
    for quantizer, stated in zip(quantizers(network), ranges(qdq), strict=True):
        np.testing.assert_allclose(quantizer.range, stated, atol=0.02 * (stated[1] - stated[0]))


def ranges(network: onnx.ModelProto) -> list[tuple[float, float]]:
    """Return the range of every activation of a QDQ network that has a scale of its own, in the operators' order."""
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in network.graph.initializer}
    producers = {output: node.op_type for node in network.graph.node for output in node.output}
    found = []
    for node in network.graph.node:
        if node.op_type == "QuantizeLinear" and producers.get(node.input[0]) not in quantization.SAME_RANGE:
            scale, zero = (float(arrays[name]) for name in node.input[1:])
            found.append((-zero * scale, (255 - zero) * scale))
    return found


class InPlace(nn.Module):
    """Reads a tensor after an operator changed it in place, adds without a layer, and uses a layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.layer = nn.Conv2d(8, 8, 3, padding=1)
        self.classifier = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        features = self.norm(self.stem(image))
        features.relu_()
        features += self.layer(nn.functional.silu(self.layer(features), inplace=True))
        pooled: Tensor = self.classifier(features.mean((2, 3)))
        return pooled


def test_operators_in_place_become_functional() -> None:
    torch.manual_seed(0)
    model, images = InPlace().eval(), torch.randn(5, *SHAPE)
    graph = _fake_quantization.inference_graph(model, EXAMPLE)
    torch.testing.assert_close(graph(images), model(images))
    assert not [node for node in graph.graph.nodes if _fake_quantization._name(node).endswith("_")]
    # The image; relu, silu's input, gate and product; the layer's second output, the sum, and its mean.
    assert len(quantizers(rounded(model))) == 8


def test_channels_are_shuffled_in_the_graph_as_in_the_model() -> None:
    torch.manual_seed(0)
    model, images = own_networks.shuffled().eval(), torch.randn(5, *SHAPE)
    torch.testing.assert_close(_fake_quantization.inference_graph(model, EXAMPLE)(images), model(images))


def test_the_number_of_images_varies_where_the_model_takes_it_for_a_constant() -> None:
    class Token(nn.Module):
        """A token beside those of each image, all of them in rows, and a state that begins with zeros."""

        def __init__(self) -> None:
            super().__init__()
            self.token, self.layer = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 10)

        def forward(self, image: Tensor) -> Tensor:
            tokens = torch.cat([self.token.expand(len(image), -1, -1), image.reshape(len(image), 8, 8)], 1)
            rows: Tensor = self.layer(tokens.reshape(len(image) * 9, 8)).reshape(len(image), 9, 10)
            return rows.mean(1) + image.new_zeros(len(image), 10)

    torch.manual_seed(0)
    model, images = Token().eval(), torch.randn(5, *SHAPE)
    graph = _fake_quantization.inference_graph(model, EXAMPLE)
    torch.testing.assert_close(graph(images), model(images))
    rounded(model).train()(images).sum().backward()
    assert model.layer.weight.grad is not None


def test_a_model_that_takes_its_images_one_by_one_is_a_failure() -> None:
    class OneByOne(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([image.flatten() for image in images])

    with pytest.raises(StageFailed, match="only so many images") as failed:
        rounded(OneByOne())
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("compress", "unsupported")


def test_a_model_that_depends_on_values_is_a_failure() -> None:
    class Depends(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.flatten(1) if image.sum() > 0 else -image.flatten(1)

    with pytest.raises(StageFailed, match="cannot trace the model") as failed:
        rounded(Depends())
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("compress", "unsupported")
