"""Types of stage ``prune``, in the place of ``compress``: a network of ``adopt`` → the same with weights zero."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.core.artifact import Artifact
from explorer.core.settings import AnswerSettings
from explorer.line import stage
from explorer.line.contracts import compress, data, train

Values = compress.Values  # torch's accuracies in it are those of the float32 network, compiled for this machine


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The share of the weights that becomes zero.

    Parameters
    ----------
    ratio, scores
        See `explorer.compression.weight_pruning`; None where no weight is removed.
    tolerance
        How far the compiled network's outputs may lie from those of onnx's operators, as a share of their range.
    answered
        The images that accuracies are taken on; None where it is all of them.
    """

    ratio: float | None
    scores: str | None
    tolerance: float
    answered: AnswerSettings | None = None


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The images and the adopted network."""

    data: Artifact[data.Values]
    train: Artifact[train.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Removes weights of an ONNX network."""

    name = "prune"
