"""Trained model → the same model, untouched: the baseline of every comparison."""

from __future__ import annotations

from torch import Tensor, nn

from explorer.compression import FineTune

TAKES_RATIO = False
CHANGES_SHAPES = False
TAKES_ONNX = True


def compress(model: nn.Module, ratio: float | None, example: Tensor, fine_tune: FineTune) -> nn.Module:
    """Return `model` as it is, without further training."""
    return model
