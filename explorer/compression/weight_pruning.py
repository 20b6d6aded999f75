"""Trained model → the same model with a share of its weights zero (Han et al., arXiv 1506.02626)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils import prune

from explorer.compression import FineTune

TAKES_RATIO = True


def compress(model: nn.Module, ratio: float, example: Tensor, fine_tune: FineTune) -> nn.Module:
    """Zero the weights of least magnitude over all layers together, then fine-tune those that remain.

    Parameters
    ----------
    ratio
        Share of the weights of all convolutions and linear layers that becomes zero; biases and batch norms stay.
    """
    weights = [(module, "weight") for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=ratio)
    fine_tune(model)
    for module, name in weights:
        prune.remove(module, name)  # type: ignore[no-untyped-call]
    return model
