"""Trained model → the same model with a share of its weights zero, those of least LAMP score (arXiv 2010.07611)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.hooks import RemovableHandle

from explorer.compression import FineTune

TAKES_RATIO = True


def compress(model: nn.Module, ratio: float, example: Tensor, fine_tune: FineTune) -> nn.Module:
    """Zero the weights of least LAMP score over all layers together, then fine-tune those that remain.

    Parameters
    ----------
    ratio
        Share of the weights of all convolutions and linear layers that becomes zero; biases and batch norms stay.

    Notes
    -----
    Ranking plain magnitudes over all layers empties whole layers of MobileNetV2 at a ratio of 0.9, which leaves it at
    chance; LAMP scores are magnitudes too, but the largest weight of each layer scores 1 and so remains.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    weights = [(layer, "weight") for layer in layers]
    scores = {(layer, "weight"): lamp(layer.weight) for layer in layers}
    prune.global_unstructured(weights, prune.L1Unstructured, importance_scores=scores, amount=ratio)
    hooks = [_keep_zeros(layer) for layer in layers]
    fine_tune(model)
    for hook in hooks:
        hook.remove()
    return model


def _keep_zeros(layer: nn.Conv2d | nn.Linear) -> RemovableHandle:
    """Make the layer's mask permanent and stop the gradients of what it removed: such a weight stays exactly zero.

    Multiplying by the mask in every forward pass, as `prune` does, doubles MobileNetV2's training time: the products
    lose the channels-last layout.
    """
    mask = layer.weight_mask
    prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
    return layer.weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call, no-any-return]


@torch.no_grad()
def lamp(weight: Tensor) -> Tensor:
    """Return each weight's square over the sum of the squares in its layer that are not smaller, in the weight's shape.

    Layer-adaptive magnitude-based pruning, Lee et al., equation 1.
    """
    squares, order = weight.square().flatten().sort(stable=True)
    remaining = squares.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(squares)
    scores[order] = squares / remaining.clamp_min(torch.finfo(squares.dtype).tiny)
    return scores.view_as(weight)
