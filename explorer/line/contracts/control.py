"""Types of stage ``control``: a target → programs whose time tells how fast a device of it is at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.line import stage


class Values(TypedDict):
    """The stage returns no values."""


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The TVM target of the device."""

    target: stage.Target


@dataclass(frozen=True)
class Parents(stage.Parents):
    """There are none."""


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Compiles the control's programs."""

    name = "control"
