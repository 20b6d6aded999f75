"""Types of stage ``confirm``: a tuned and a rule-based library of a network → which of them a device runs faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import build, control, lower
from explorer.line.contracts.compress import Network
from explorer.line.contracts.measure import State
from explorer.line.contracts.on_device import InSessions


class Session(TypedDict):
    """A session with both libraries.

    Attributes
    ----------
    ratio : the median over the pairs that count, of the tuned library's sample to the other one's
    tuned_ms, untuned_ms : all samples, in pairs
    quiet : indices of the pairs that were taken while the control was quiet
    readings, typical : of the control; see `explorer.line.contracts.measure.Values`
    disturbed : what disturbed the session, in one sentence; empty if nothing did, or nothing tells
    waited_s : until the control was quiet
    state : of the device
    """

    ratio: float
    tuned_ms: list[float]
    untuned_ms: list[float]
    quiet: list[int]
    readings: dict[str, list[float]]
    typical: Sequence[float | None]
    disturbed: str
    waited_s: float
    state: State


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    ratio, ratio_low, ratio_high : of the tuned library's time to the other one's, with its 95 % interval
    faster : whether all of the interval lies below 1
    counted : sessions that the ratio is of; those that were not disturbed or, if there are none, all
    sessions : all of them, in their order
    no_control : why there is no control; empty if there is one
    """

    ratio: float
    ratio_low: float
    ratio_high: float
    faster: bool
    counted: int
    sessions: list[Session]
    no_control: str


@dataclass(frozen=True)
class Parameters(InSessions):
    """The protocol of a session, and the device by its name."""

    device: str


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The network with its reference images, lowered, its two libraries and, at execution, the control."""

    network: Network
    lower: Artifact[lower.Values]
    untuned: Artifact[build.Values]
    tuned: Artifact[build.Values]
    control: Artifact[control.Values] | None = field(default=None, metadata=stage.OUTSIDE_KEY)


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Confirms that a tuned library is faster."""

    name = "confirm"
