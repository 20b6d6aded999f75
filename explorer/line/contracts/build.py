"""Types of stage ``build``: a lowered module, schedules and a target → a library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import lower, tune


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    size_bytes : of the library's object code and weights as they lie in memory once linked
    memory_bytes : what it holds while it runs: weights, activations as they are planned, and what its threads share
    thread_bytes : what each thread holds beside that
    """

    size_bytes: int
    memory_bytes: int
    thread_bytes: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The target."""

    target: stage.Target


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The lowered network and, of a tuned one, its schedules."""

    lower: Artifact[lower.Values]
    tune: Artifact[tune.Values] | None = None


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Compiles a network."""

    name = "build"
