"""Types of stage ``evaluate``: a library for this machine and labelled images → the accuracy of what runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.core.settings import EvaluateSettings
from explorer.line import stage
from explorer.line.contracts import build, compress, data, lower
from explorer.line.contracts.compress import Network


class Accuracies(TypedDict, total=False):
    """The shares of images that a classifier puts into the right class.

    Attributes
    ----------
    accuracy, accuracy_low, accuracy_high : on the validation split, with its 95 % interval
    """

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    test_accuracy: float


class Values(Accuracies):
    """The values that the stage returns.

    Attributes
    ----------
    agreement : the share of the images of both splits that torch puts into the same class or, of another task, for
        which it answers the same up to the tolerance
    """

    validation_images: int
    test_images: int
    agreement: float


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The numerics of the network, how far its outputs may lie from the reference, and ``[evaluate]``.

    Parameters
    ----------
    tolerance
        As a share of the reference's range.
    """

    numerics: lower.Numerics
    tolerance: float
    settings: EvaluateSettings


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The images, torch's answers, the reference and, at execution, a library for this machine.

    Parameters
    ----------
    compress
        Has torch's answers.
    network
        Has the reference.
    lower, build
        Any of the parameters' numerics, so that they enter no key.
    """

    data: Artifact[data.Values]
    compress: Artifact[compress.Values]
    network: Network
    lower: Artifact[lower.Values] | None = field(default=None, metadata=stage.OUTSIDE_KEY)
    build: Artifact[build.Values] | None = field(default=None, metadata=stage.OUTSIDE_KEY)


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Takes the accuracy of a compiled network."""

    name = "evaluate"
