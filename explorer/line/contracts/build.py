"""Types of stage ``build``: a lowered module, schedules and a target → a library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import lower, tune


class Values(TypedDict):
    """The bytes of the library's object code and weights as they lie in memory once linked."""

    size_bytes: int


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
