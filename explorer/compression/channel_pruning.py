"""Trained model → a narrower model: channels removed along the dependency graph (Fang et al., arXiv 2301.12900)."""

from __future__ import annotations

from math import lcm
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn

from explorer.compression import FineTune, gradually
from explorer.core.errors import Failure, StageFailed

TAKES_RATIO = True
CHANGES_SHAPES = True
OPTIONS = ("channel_multiple", "norm", "steps")
NORMS = {"l1": 1, "l2": 2}


def compress(
    model: nn.Module,
    ratio: float,
    example: Tensor,
    fine_tune: FineTune,
    *,
    channel_multiple: int = 8,
    norm: str = "l2",
    steps: int = 1,
) -> nn.Module:
    """Remove the channels of least magnitude from every layer alike, step by step, and fine-tune the rest after each.

    Parameters
    ----------
    ratio
        Share of each layer's output channels to remove, as near as `channel_multiple` allows. Layers that are added
        together lose the same channels. The classifier keeps its classes.
    example
        Shape (N, C, H, W): a batch to trace the model with.
    channel_multiple
        What the number of channels that a layer keeps is a multiple of, such as the elements of the target's vector
        registers; a layer with no more channels than that keeps them all.
    norm
        Of the weights that write and read a channel, by which channels are ranked: ``"l1"`` or ``"l2"``.
    steps
        How often channels are removed; how many are left in the end does not depend on it.

    Raises
    ------
    StageFailed
        If the dependency graph of a model of the user's own is wrong, so that its layers no longer fit together.
    """
    model.eval()
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    importance = tp.importance.GroupMagnitudeImportance(p=NORMS[norm])
    classifiers = _classifiers(model, example)
    widths = {layer: layer.weight.shape[0] for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    for step in gradually(steps):
        for group in graph.get_all_groups(ignored_layers=classifiers, root_module_types=[nn.Conv2d, nn.Linear]):
            layer, parts = group[0].dep.target.module, _channel_groups(group)
            left = kept(widths[layer], step.removed * ratio, lcm(channel_multiple, parts))
            if left < layer.weight.shape[0]:
                group.prune(_least(importance(group), layer.weight.shape[0] - left, parts))
        _check(model, example)
        fine_tune(model, step.fine_tuning)
        model.eval()
    return model


def kept(width: int, ratio: float, multiple: int) -> int:
    """Return how many of `width` channels remain: a multiple of `multiple` next to ``width * (1 - ratio)``."""
    wanted = max(1, round(width * (1 - ratio) / multiple)) * multiple
    return min(wanted, width // multiple * multiple) or width


def _channel_groups(group: Any) -> int:
    """Return into how many equal parts the grouped convolutions among those that share channels divide them."""
    layers = [layer for dep, _ in group if isinstance(layer := dep.target.module, nn.Conv2d)]
    return lcm(*(layer.groups for layer in layers if not layer.groups == layer.in_channels == layer.out_channels))


def _least(importance: Tensor, count: int, parts: int) -> list[int]:
    """Return the `count` least important channels, at the same places in each of `parts` equal parts of them."""
    # Workaround: torch-pruning 1.6.1: it removes from every group of a grouped convolution the inputs that it removes
    # from the first; tests/test_workarounds.py
    size = len(importance) // parts
    places = importance.view(parts, size).sum(0).argsort(stable=True)[: count // parts]
    return [part * size + int(place) for part in range(parts) for place in places]


def _check(model: nn.Module, example: Tensor) -> None:
    try:
        with torch.no_grad():
            model(example)
    except RuntimeError as error:
        message = f"torch-pruning lost track of which layers share channels: {error}"
        raise StageFailed(Failure("compress", "unsupported", message)) from error


def _classifiers(model: nn.Module, example: Tensor) -> list[nn.Module]:
    """Return the layers whose output is the model's output: their channels are the classes."""
    last: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        last[:] = [module]

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        model(example)
    for hook in hooks:
        hook.remove()
    return last
