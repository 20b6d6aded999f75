"""Two networks, one of them narrower → whether it computes what the wide one does whose lost channels are silent.

A channel is silent if the weights that write it and those that read it are zero. Nothing is read of it then, so that
removing it changes no output, unless an operator combines channels by their number or order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

TOLERANCE = 1e-3  # of the largest output
PROBES = 2  # images

Survivors = Mapping[str, Tensor]  # parameter's name → the places that its elements had before, in its present shape


def tag(model: nn.Module) -> None:
    """Replace every element of every parameter by its place in it, which tells later which of them are left."""
    for parameter in model.parameters():
        # In float64, exact up to 2 ** 53; the graph that was traced before stays valid.
        parameter.data = torch.arange(parameter.numel(), dtype=torch.float64).reshape(parameter.shape)


def survivors(model: nn.Module) -> Survivors:
    """Return what is left in a model that was tagged."""
    return {name: tensor.detach().long() for name, tensor in model.named_parameters(remove_duplicate=False)}


@torch.no_grad()
def silenced(model: nn.Module, left: Survivors) -> nn.Module:
    """Return a copy of `model` in which all elements are zero but those that are `left`."""
    result = copy.deepcopy(model)
    for name, parameter in result.named_parameters(remove_duplicate=False):
        kept = torch.zeros(parameter.numel(), dtype=torch.bool)
        kept[left[name].flatten()] = True
        parameter.mul_(kept.view(parameter.shape))
    return result


@torch.no_grad()
def differs(narrow: nn.Module, silent: nn.Module, example: Tensor) -> str | None:
    """Return how `narrow` fails to do what `silent` does, in a few words; None if it does the same.

    Both run with norms and softmaxes over channels replaced by functions of each channel, which tell the groups of a
    group norm apart, on images of `example`'s shape that are drawn at random.
    """
    random = torch.Generator().manual_seed(0)
    images = torch.randn((PROBES, *example.shape[1:]), generator=random)
    try:
        narrow(images)  # as it is: a stand-in takes no part in the shapes that its operator knows
        with _ChannelByChannel():
            outputs = narrow(images)
    except Exception as error:  # whatever the user's code raises
        return f"the network fails without them: {(str(error).splitlines() or [type(error).__name__])[0]}"
    with _ChannelByChannel():
        expected = silent(images)
    if outputs.shape != expected.shape:
        return f"the network then has outputs of shape {tuple(outputs.shape)} instead of {tuple(expected.shape)}"
    same = (outputs - expected).abs().max() <= TOLERANCE * expected.abs().max()
    return None if same else "the network computes something else without them than where they are silent"


class _ChannelByChannel(TorchFunctionMode):
    """Replaces operators that combine channels by ones of each channel alone, bounded as those are."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, or what stands for it."""
        return _STAND_INS.get(func, func)(*args, **(kwargs or {}))


def _layer_norm(
    values: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 0
) -> Tensor:
    return torch.tanh(values) * (1 if weight is None else weight) + (0 if bias is None else bias)


def _group_norm(
    values: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 0
) -> Tensor:
    channels = values.shape[1]
    if channels % groups:
        raise RuntimeError(f"{channels} channels are no multiple of {groups} groups")
    column = (-1, *[1] * (values.ndim - 2))
    group = torch.arange(channels).div(channels // groups, rounding_mode="floor").view(column)
    result = torch.tanh(values * (1 + group))
    result = result if weight is None else result * weight.view(column)
    return result if bias is None else result + bias.view(column)


def _softmax(values: Tensor, *arguments: object, **named: object) -> Tensor:
    return torch.sigmoid(values)


def _alone(values: Tensor, *arguments: object, **named: object) -> Tensor:
    return values


_STAND_INS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.layer_norm: _layer_norm,
    F.rms_norm: _layer_norm,
    F.group_norm: _group_norm,
    F.local_response_norm: _alone,
    F.softmax: _softmax,
    torch.softmax: _softmax,
    Tensor.softmax: _softmax,
}
