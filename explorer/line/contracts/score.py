"""Types of stage ``score``: predictions of a compiled network and targets → the metric that the user's function gives.

It is a stage of its own so that a change of the metric's code compiles and evaluates nothing again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import data, evaluate


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    value, low, high : on the validation split, with its 95 % interval
    test : on the test split
    """

    value: float
    low: float
    high: float
    test: float


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The metric, ``module:function``."""

    metric: str


@dataclass(frozen=True)
class Parents(stage.ParentsWithCode):
    """The targets, the predictions, and the metric's code."""

    data: Artifact[data.Values]
    evaluate: Artifact[evaluate.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Judges predictions by a metric of the user's own."""

    name = "score"
