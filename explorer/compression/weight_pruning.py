"""Trained model → the same model with a share of its weights zero, those of least magnitude or least LAMP score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.hooks import RemovableHandle

from explorer.compression import FineTune, Weights, gradually, keep_zeros, note, weighted
from explorer.compression._reading import reads_directly
from explorer.core.errors import Failure, StageFailed

TAKES_RATIO = True
CHANGES_SHAPES = False
TAKES_ONNX = True
OPTIONS = ("scores", "steps")

# No layer is left with a smaller part than this of the share of weights that all layers together keep. Batch norms make
# the scale of a layer's weights arbitrary: ranked by magnitudes alone, whole layers of MobileNetV2 lose all but a few
# weights at a ratio of 0.9, and it classifies by chance.
FLOOR = 0.5

MOST_NAMED = 3  # tensors that a note lists

Layers = Sequence[Weights]
Score = Callable[[Tensor, float], Tensor]


def compress(
    model: nn.Module, ratio: float, example: Tensor, fine_tune: FineTune, *, scores: str = "l1", steps: int = 1
) -> nn.Module:
    """Zero the weights of least score over all layers together, step by step, and fine-tune the others after each.

    Parameters
    ----------
    ratio
        Share of the weights of all convolutions, linear layers and attentions that becomes zero. Biases, norms, and
        parameters that belong to no such layer stay, as do weights that are read only to compute others of them. A
        tensor that several layers share counts once.
    scores
        Name in `SCORES` of what ranks the weights: their magnitudes, with each layer's largest kept as `FLOOR` says, or
        their LAMP scores.
    steps
        How often weights are removed. A removed weight stays zero.

    Raises
    ------
    StageFailed
        If there are no weights to remove.
    """
    layers = _layers(model, example)
    weights = sum(layer.value.numel() for layer in layers)
    for step in gradually(steps):
        hooks = _remove(layers, round(step.removed * ratio * weights), SCORES[scores], 1 - step.removed * ratio)
        fine_tune(model, step.fine_tuning)
        for hook in hooks:
            hook.remove()
    return model


def _layers(model: nn.Module, example: Tensor) -> Layers:
    """Return the layers whose weights are removed; note those that stay."""
    layers = [weights for weights in weighted(model) if weights.owned]
    read = reads_directly(model, example)
    held = {id(each.value) for each in layers}
    left = [f"those of '{each.name}', which nothing multiplies by" for each in layers if not read(each.value)]
    others = [(name, own) for name, own in model.named_parameters() if own.ndim > 1 and id(own) not in held]
    left += [f"those of '{name}', which belongs to no layer" for name, own in others if read(own)]
    if left:
        more = f" and of {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        note(f"weight_pruning leaves weights as they are: {', '.join(left[:MOST_NAMED])}{more}")
    layers = [each for each in layers if read(each.value)]
    if not layers:
        reason = f"it leaves {left[0]}" if left else "there is no convolution, linear layer or attention"
        raise StageFailed(Failure("compress", "unsupported", f"weight_pruning removes nothing: {reason}"))
    return layers


def _remove(layers: Layers, count: int, score: Score, left: float) -> list[RemovableHandle]:
    """Zero the `count` weights of least score, those that are zero already among them, and keep them from training."""
    scores = {(layer.layer, layer.tensor): score(layer.value, left) for layer in layers}
    prune.global_unstructured(list(scores), prune.L1Unstructured, importance_scores=scores, amount=count)
    for layer in layers:
        # Made permanent: multiplying by the mask in every forward pass doubles MobileNetV2's training time, because the
        # products lose the channels-last layout.
        prune.remove(layer.layer, layer.tensor)  # type: ignore[no-untyped-call]
    return [keep_zeros(layer.value) for layer in layers if layer.value.requires_grad]


@torch.no_grad()
def lamp(weight: Tensor, left: float = 1.0) -> Tensor:
    """Return each weight's square over the sum of the squares in its layer that are not smaller, in the weight's shape.

    Layer-adaptive magnitude-based pruning, Lee et al., arXiv 2010.07611, equation 1. The largest weight of each layer
    scores 1 and so remains.
    """
    squares, order = weight.square().flatten().sort(stable=True)
    remaining = squares.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(squares)
    scores[order] = squares / remaining.clamp_min(torch.finfo(squares.dtype).tiny)
    return scores.view_as(weight)


@torch.no_grad()
def magnitudes(weight: Tensor, left: float) -> Tensor:
    """Return each weight's magnitude, infinite for the largest, which the layer keeps where `left` of all are kept."""
    scores = weight.abs().flatten()
    scores[scores.topk(ceil(FLOOR * left * len(scores))).indices] = inf
    return scores.view_as(weight)


# From a layer's weights and the share of all weights that is left.
SCORES: Mapping[str, Score] = {"l1": magnitudes, "lamp": lamp}
