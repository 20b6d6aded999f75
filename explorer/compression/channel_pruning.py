"""Trained model → a narrower model: channels removed along the dependency graph (Fang et al., arXiv 2301.12900)."""

from __future__ import annotations

import torch
import torch_pruning as tp
from torch import Tensor, nn

from explorer.compression import FineTune
from explorer.errors import Failure, StageFailed

TAKES_RATIO = True
BLOCK = 8  # channels are kept in multiples of it, which vector registers and packed layouts need; never fewer than one


def compress(model: nn.Module, ratio: float, example: Tensor, fine_tune: FineTune) -> nn.Module:
    """Remove the channels of least magnitude from every layer alike, then fine-tune what remains.

    Parameters
    ----------
    ratio
        Share of each layer's output channels to remove, as near as multiples of `BLOCK` allow: a layer with one block
        or less keeps it all. Layers that are added together lose the same channels. The classifier keeps its classes.
    example
        Shape (N, C, H, W): a batch to trace the model with.

    Raises
    ------
    StageFailed
        If the dependency graph of a model of the user's own is wrong, so that its layers no longer fit together.
    """
    model.eval()
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    importance = tp.importance.GroupMagnitudeImportance()
    classifiers = _classifiers(model, example)
    for group in graph.get_all_groups(ignored_layers=classifiers, root_module_types=[nn.Conv2d, nn.Linear]):
        width = graph.get_out_channels(group[0].dep.target.module)
        removed = width - kept(width, ratio)
        if removed > 0:
            group.prune(torch.argsort(importance(group), stable=True)[:removed].tolist())
    _check(model, example)
    fine_tune(model)
    return model


def kept(width: int, ratio: float) -> int:
    """Return how many of `width` channels remain: a multiple of `BLOCK` next to ``width * (1 - ratio)``."""
    return min(width, max(BLOCK, round(width * (1 - ratio) / BLOCK) * BLOCK))


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
