"""Model → which of its layers share channels, as torch-pruning's dependency graph has it, and what keeps them all."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import lcm
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torch_pruning as tp
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch_pruning import ops

ROOTS = (nn.modules.conv._ConvNd, nn.Linear)
CLASSES = "no layer lies between them and the network's outputs"


class Group(NamedTuple):
    """Channels that several layers share.

    Attributes
    ----------
    root : name of the layer that writes them and stands for all
    layer : that layer
    channels : how many there are
    parts : into how many equal parts they are divided, by grouped convolutions, group norms and gates
    kept : why all have to stay, if they have
    own : torch-pruning's group
    """

    root: str
    layer: nn.Module
    channels: int
    parts: int
    kept: str | None
    own: Any


class Dependencies:
    """The dependency graph of a model, which follows what is removed from it."""

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self.names = {module: name for name, module in model.named_modules()}
        self.uses = Counter(id(tensor) for module in model.modules() for tensor in module._parameters.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells of parameters outside of layers, which are pruned, too
            self.graph = _Graph().build_dependency(
                model, example, forward_fn=_outputs, customized_pruners=_norms(), verbose=False
            )

    def groups(self) -> Iterator[Group]:
        """Yield all groups of channels; the caller may remove some of a group before it asks for the next."""
        for own in self.graph.get_all_groups(root_module_types=ROOTS):
            layer = own[0].dep.target.module
            channels = self.graph.get_out_channels(layer)
            tied = self._tied(layer)
            regular = tied == [*range(0, channels, channels // len(tied))]
            kept = self._kept(own) or (None if regular else "they depend on one another")
            yield Group(self.names[layer], layer, channels, lcm(_parts(own), len(tied)), kept, own)

    def remove(self, root: str, places: list[int]) -> None:
        """Remove the channels at `places` from the group of the layer `root`."""
        layer = next(module for module, name in self.names.items() if name == root)
        pruner = self.graph.get_pruner_of_module(layer)
        self.graph.get_pruning_group(layer, pruner.prune_out_channels, places).prune()

    def _tied(self, layer: nn.Module) -> list[int]:
        """Return the channels of a layer that are removed where its first is, such as one of each half of a gate."""
        remove = self.graph.get_pruner_of_module(layer).prune_out_channels
        group = self.graph.get_pruning_group(layer, remove, [0])
        of_layer = [places for dep, places in group if dep.target.module is layer and dep.handler == remove]
        return sorted({int(place) for places in of_layer for place in places})

    def _kept(self, own: Any) -> str | None:
        """Return why all channels of a group have to stay, None if they need not."""
        for dep, _ in own:
            module = dep.target.module
            if isinstance(module, ops._OutputOp):
                return CLASSES
            if isinstance(module, nn.MultiheadAttention | nn.RNNBase | nn.Embedding):
                return f"'{self.names[module]}' is a {type(module).__name__}"
            if isinstance(module, nn.LayerNorm | nn.RMSNorm) and len(module.normalized_shape) > 1:
                return f"'{self.names[module]}' is a {type(module).__name__} over more than channels"
            tensors = [tensor for tensor in getattr(module, "_parameters", {}).values() if tensor is not None]
            if any(self.uses[id(tensor)] > 1 for tensor in tensors):
                return f"'{self.names[module]}' shares its parameters with another layer"
        return None


class _Graph(tp.DependencyGraph):  # type: ignore[misc]
    """One in which a map of one channel that is multiplied with all channels of another shares none with it."""

    # Workaround: torch-pruning 1.6.1: it takes the two for maps of the same channels; tests/workarounds
    def _trace(self, *arguments: Any, **named: Any) -> Any:
        nodes = super()._trace(*arguments, **named)
        for node in nodes.values():
            if isinstance(node.module, ops._ElementWiseOp):
                for source in [each for each in node.inputs if _is_broadcast(_shape(each), _shape(node))]:
                    node.inputs.remove(source)
                    source.outputs.remove(node)
        return nodes


def _shape(node: Any) -> tuple[int, ...]:
    """Return the shape of what a traced operator gives."""
    return tuple(node.grad_fn._input_metadata[0].shape)


def _is_broadcast(given: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Tell whether an operand has a single channel where the result, alike in all else or larger, has several.

    Of three axes, the second may be that of tokens, whose channels are on the third.
    """
    if len(given) != len(result) or given[1:2] != (1,) or result[1] == 1:
        return False
    return set(given[1:]) == {1} or (len(given) > 3 and given[2:] == result[2:])


def _norms() -> dict[type[nn.Module], Any]:
    """Return how channels are removed from the norms that torch-pruning does not know, or not all parts of."""
    # Workaround: torch-pruning 1.6.1: it takes an RMSNorm for a parameter alone, and leaves the statistics of an
    # InstanceNorm as they are; tests/workarounds
    kinds = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
    return {nn.RMSNorm: _RootMeanSquares(), **{kind: tp.pruner.function.BatchnormPruner() for kind in kinds}}


class _RootMeanSquares(tp.pruner.function.BasePruningFunc):  # type: ignore[misc]
    def prune_out_channels(self, layer: nn.RMSNorm, idxs: Sequence[int]) -> nn.RMSNorm:
        kept = [place for place in range(layer.normalized_shape[0]) if place not in {*idxs}]
        if layer.elementwise_affine:
            layer.weight = self._prune_parameter_and_grad(layer.weight, kept, 0)
        layer.normalized_shape = (len(kept),)
        return layer

    prune_in_channels = prune_out_channels

    def get_out_channels(self, layer: nn.RMSNorm) -> int:
        return layer.normalized_shape[0]

    get_in_channels = get_out_channels


def _outputs(model: nn.Module, example: Tensor) -> list[Tensor]:
    """Return the model's output, and those of all its layers: channels that lead to no output are shared as well."""
    seen: list[Tensor] = []

    def note(module: nn.Module, inputs: object, output: Tensor) -> None:
        seen.append(output)

    hooks = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, ROOTS)]
    with contextlib.ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.remove)
        # An operator after the last layer, so that the graph tells its output from the layer's.
        with _InParts():
            logits = model(example)
        return [logits * 1.0, *(each for each in seen if each.grad_fn is not None)]


class _InParts(TorchFunctionMode):
    """Runs a gated linear unit as the operators that it consists of, which tell its halves apart."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, or what it consists of."""
        return (_glu if func in (F.glu, torch._C._nn.glu) else func)(*args, **(kwargs or {}))


def _glu(values: Tensor, dim: int = -1) -> Tensor:
    passed, gate = values.chunk(2, dim)
    return passed * gate.sigmoid()


def _parts(own: Any) -> int:
    """Return into how many equal parts grouped convolutions and group norms divide the channels that they share."""
    found = 1
    for dep, _ in own:
        layer = dep.target.module
        if isinstance(layer, nn.GroupNorm):
            found = lcm(found, layer.num_groups)
        elif isinstance(layer, nn.modules.conv._ConvNd):
            depthwise = layer.groups == layer.in_channels == layer.out_channels
            found = lcm(found, 1 if depthwise else layer.groups)
    return found
