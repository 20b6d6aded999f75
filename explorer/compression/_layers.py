"""Model → its layers that have weights, each weight once; weights that are computed of others → plain ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear)
# torch.nn.MultiheadAttention has the weights of its three projections in one tensor, or in three where widths differ.
ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


class Weights(NamedTuple):
    """The weights of a layer.

    Attributes
    ----------
    name : of the layer in the model; of an attention's projections, the tensor's too
    layer : the module
    tensor : the name of the parameter in the module
    owned : whether no layer before it has the same parameter
    """

    name: str
    layer: nn.Module
    tensor: str = "weight"
    owned: bool = True

    @property
    def value(self) -> Tensor:
        """The parameter."""
        found: Tensor = getattr(self.layer, self.tensor)
        return found


def weighted(model: nn.Module) -> list[Weights]:
    """Return the weights of all convolutions, linear layers and attentions, in the order of the model's modules."""
    found, known = [], set()
    for each in _weights(model):
        found.append(each._replace(owned=id(each.value) not in known))
        known.add(id(each.value))
    return found


def channels_of(layer: nn.Module) -> int:
    """Return how many channels a convolution, or how many features another layer, has at its output."""
    found = layer.out_channels if isinstance(layer, nn.modules.conv._ConvNd) else _features(layer)
    assert isinstance(found, int)
    return found


def _features(layer: nn.Module) -> object:
    return layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.out_features


def _weights(model: nn.Module) -> Iterator[Weights]:
    for name, module in model.named_modules():
        if isinstance(module, LAYERS):
            yield Weights(name, module)
        elif isinstance(module, nn.MultiheadAttention):
            held = [tensor for tensor in ATTENTION if getattr(module, tensor) is not None]
            yield from (Weights(f"{name}.{tensor}", module, tensor) for tensor in held)


def make_plain(model: nn.Module) -> nn.Module:
    """Turn every weight that `model` computes of others whenever it is read into a parameter of its present value.

    So weight norm, spectral norm, masks and all other parametrizations end, those that work by hooks, too. The model is
    changed in place, and computes the same in evaluation mode.
    """
    model.eval()  # where spectral norm no longer changes what it divides by
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for tensor in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, tensor)
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(module, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(module, hook.name)
            elif isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]
    return model
