"""What the explorer says of models: one that a space may name, and how a file of weights fits one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Model:
    """A model that the axis ``model`` takes.

    Parameters
    ----------
    name
        As the axis takes it.
    takes_width
        Whether it has other widths than 1.
    pretrained
        Whether ``weights = "pretrained"`` takes published ones.
    about
        A sentence on the bundled ones, empty for a library's.
    """

    name: str
    takes_width: bool
    pretrained: bool
    about: str = ""


@dataclass(frozen=True)
class Comparison:
    """How a file of weights fits a model.

    Parameters
    ----------
    fits
        Whether a training can start from it.
    why_not
        In words, a few tensors of each kind by name.
    classes, shape
        That the model was built for.
    under
        The keys of the file that lead to the weights, joined by dots.
    others
        Keys that hold other weights, such as their moving average.
    by_order
        Whether tensors are taken by their order, since only names differ.
    tensors
        The model's tensors: ``name``, ``shape``, ``file_name``, ``file_shape`` and ``state``: ``"fits"``, ``"other
        classes"`` (of a classifier, which starts at random), ``"other shape"``, ``"missing"`` or ``"not finite"``.
    unknown
        The file's tensors that the model lacks: ``name`` and ``shape``.
    """

    fits: bool
    why_not: str
    classes: int
    shape: Sequence[int]
    under: str
    others: Sequence[str]
    by_order: bool
    tensors: Sequence[dict[str, Any]]
    unknown: Sequence[dict[str, Any]]
