"""Types of stage ``adopt``, in the place of ``train``: images and an ONNX file → the network as the line has it."""

from __future__ import annotations

from dataclasses import dataclass, field

from explorer.core.artifact import Artifact
from explorer.core.settings import AnswerSettings
from explorer.line import stage
from explorer.line.contracts import data, train

Values = train.Values  # its seconds are those that the answers took


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """What the network is called, and how its answers are taken.

    Parameters
    ----------
    model
        As the space writes it, for messages; the file's digest is in the key.
    tolerance
        How far the compiled network's outputs may lie from those of onnx's operators, as a share of their range.
    answered
        The validation images that the accuracy is taken on; None where it is all of them.
    """

    model: str = field(metadata=stage.OUTSIDE_KEY)
    tolerance: float
    answered: AnswerSettings | None = None


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The images and the ONNX file."""

    data: Artifact[data.Values]
    network: Artifact


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Takes the network of an ONNX file as it is."""

    name = "adopt"
