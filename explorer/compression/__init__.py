"""What every compression is given: the trained model, a ratio, an example input, and the means to fine-tune."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class FineTune(Protocol):
    """Train a model in place, on the training split, with the compress stage's settings."""

    def __call__(self, model: nn.Module, share: float = 1.0) -> None:
        """Spend `share` of the fine-tuning epochs on `model`; shares of all calls add up to at most 1."""
