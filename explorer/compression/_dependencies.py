"""Model → which of its layers share channels, as torch-pruning's dependency graph has it, and what keeps them all."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator
from math import lcm
from typing import Any, NamedTuple

import torch_pruning as tp
from torch import Tensor, nn
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
    parts : into how many equal parts they are divided, by grouped convolutions and group norms
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
            self.graph = tp.DependencyGraph().build_dependency(model, example, forward_fn=_outputs, verbose=False)

    def groups(self) -> Iterator[Group]:
        """Yield all groups of channels; the caller may remove some of a group before it asks for the next."""
        for own in self.graph.get_all_groups(root_module_types=ROOTS):
            layer = own[0].dep.target.module
            channels = self.graph.get_out_channels(layer)
            yield Group(self.names[layer], layer, channels, _parts(own), self._kept(own), own)

    def remove(self, root: str, places: list[int]) -> None:
        """Remove the channels at `places` from the group of the layer `root`."""
        layer = next(module for module, name in self.names.items() if name == root)
        pruner = self.graph.get_pruner_of_module(layer)
        self.graph.get_pruning_group(layer, pruner.prune_out_channels, places).prune()

    def _kept(self, own: Any) -> str | None:
        """Return why all channels of a group have to stay, None if they need not."""
        for dep, _ in own:
            module = dep.target.module
            if isinstance(module, ops._OutputOp):
                return CLASSES
            if isinstance(module, nn.MultiheadAttention | nn.RNNBase | nn.Embedding):
                return f"'{self.names[module]}' is a {type(module).__name__}"
            if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1:
                return f"'{self.names[module]}' is a LayerNorm over more than channels"
            tensors = [tensor for tensor in getattr(module, "_parameters", {}).values() if tensor is not None]
            if any(self.uses[id(tensor)] > 1 for tensor in tensors):
                return f"'{self.names[module]}' shares its parameters with another layer"
        return None


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
        return [model(example) * 1.0, *(each for each in seen if each.grad_fn is not None)]


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
