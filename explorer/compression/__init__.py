"""Trained model, ratio and example input → the compressed model; the Protocols that every compression follows.

A compression is one file with literals that are read without importing it:

- ``TAKES_RATIO``: whether it removes a share of something; True unless it says;
- ``CHANGES_SHAPES``: whether it changes layers' shapes, which no fine-tuning decides; unknown unless it says;
- ``KEEPS_ZEROS = True``: weights that are zero before it are so afterwards;
- ``TAKES_ONNX = True``: stage `prune` does as much to an ONNX network, which has no model to train;
- ``TAKES_MAX_DROP = True``: only layers that cost little are in its ``DTYPE``, as many as `max_drop` allows;
- ``DTYPE``: what the network is stored in from then on; ``"float32"`` unless it says;
- ``OPTIONS``: the fields of the compress stage that its function is given by name.

What a compression has to leave as it is, it tells by `note`.

A compression that changes the float32 network is a `Compression`; the others have no function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol, cast

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from explorer.compression._layers import Weights, channels_of, make_plain, weighted
from explorer.core import plugins

__all__ = [
    "BEFORE_LAST", "Compress", "Compression", "FineTune", "Step", "Weights", "channels_of", "compressor", "gradually",
    "keep_zeros", "make_plain", "note", "noted", "weighted",
]  # fmt: skip


class FineTune(Protocol):
    """Train a model in place, on the training split, with the compress stage's settings."""

    def __call__(self, model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        """Spend `share` of the fine-tuning epochs on `model`, at `pace` times the learning rate.

        The shares of all calls add up to at most 1.
        """


class Compress(Protocol):
    """Compresses a model."""

    def __call__(
        self, model: nn.Module, ratio: float | None, example: Tensor, fine_tune: FineTune, **options: object
    ) -> nn.Module:
        """Return the compressed model, which may be the one that was given.

        Parameters
        ----------
        ratio
            Share of weights or channels to remove, in (0, 1); None where the compression takes none.
        example
            Images, shape (N, C, H, W).
        options
            Those that the compression names in ``OPTIONS``.

        Raises
        ------
        StageFailed
            If the model cannot be compressed.
        """


class Compression(Protocol):
    """A module of this folder that changes the float32 network."""

    compress: Compress


def compressor(name: str) -> Compress:
    """Return the function of compression `name`, one of this folder or ``module:function``.

    Raises
    ------
    ExplorerError
        If there is none.
    """
    if plugins.is_custom(name):
        return cast(Compress, plugins.load_custom(name))
    return cast(Compression, plugins.load("compression", name)).compress


_notes: ContextVar[list[str]] = ContextVar("notes")


def note(message: str) -> None:
    """Put on record, in one sentence, what a compression left as it was."""
    if (notes := _notes.get(None)) is not None and message not in notes:
        notes.append(message)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Give the list of what compressions note within the context."""
    token = _notes.set([])
    try:
        yield _notes.get()
    finally:
        _notes.reset(token)


BEFORE_LAST = 0.25


class Step(NamedTuple):
    """One step of an iterative pruning.

    Attributes
    ----------
    removed : share of all that is to be removed which is gone after this step
    fine_tuning : share of the fine-tuning that follows the step
    """

    removed: float
    fine_tuning: float


def gradually(steps: int) -> Iterator[Step]:
    """Yield the steps of a pruning: the first removes most, and most of the fine-tuning follows the last.

    After step t of n the share ``(1 - t / n) ** 3`` of what is to be removed is still there: the schedule of Zhu and
    Gupta, arXiv 1710.01878, equation 1. A quarter of the fine-tuning is shared by the steps before the last: where they
    had half of 4 epochs, MobileNetV2 on the digits, 90 % of its weights removed by magnitude, ended at 70 % validation
    accuracy instead of 89 (one seed). One step is the default: over 4 epochs on the digits, 3 steps, with MobileNetV2
    and ResNet-18 at width 0.25 and both prunings at ratios from 0.5 to 0.9, classified 0.4 % fewer of validation and
    test images in the mean, 7 % fewer at worst and 2 % more at best (three seeds each).
    """
    for step in range(1, steps):
        yield Step(1 - (1 - step / steps) ** 3, BEFORE_LAST / (steps - 1))
    yield Step(1.0, 1.0 - BEFORE_LAST if steps > 1 else 1.0)


def keep_zeros(weight: Tensor) -> RemovableHandle:
    """Stop the gradients of those of a layer's weights that are zero: until the handle is removed, they stay zero."""
    mask = weight != 0
    return weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call, no-any-return]
