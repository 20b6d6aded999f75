"""Types of stage ``profile``: a library, and the same one that notes times → what each program takes on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import build, control, instrument, lower
from explorer.line.contracts.compress import Network
from explorer.line.contracts.measure import State
from explorer.line.contracts.on_device import InSessions


class Session(TypedDict):
    """A session with both libraries.

    Attributes
    ----------
    network_ms, ticking_ms : all samples of the network and of the one that notes times, in pairs, each a median of runs
    calls_us : of each sample of the second, what each call took, a median likewise
    quiet : indices of the pairs that were taken while the control was quiet
    gflop_s, gb_s : what the device reached of arithmetic in float32, and of reading as much memory as the network holds
    wake_us : what its threads take to meet, by the control; None on one thread and without a control
    readings, typical : of the control; see `explorer.line.contracts.measure.Values`
    disturbed : what disturbed the session, in one sentence; empty if nothing did, or nothing tells
    waited_s : until the control was quiet
    state : of the device
    """

    network_ms: list[float]
    ticking_ms: list[float]
    calls_us: list[list[float]]
    quiet: list[int]
    gflop_s: float
    gb_s: float
    wake_us: float | None
    readings: dict[str, list[float]]
    typical: Sequence[float | None]
    disturbed: str
    waited_s: float
    state: State


class Values(TypedDict):
    """The values that the stage returns; its file has the samples.

    Attributes
    ----------
    network_ms, layers_ms : the network's time and the sum of its programs', medians over the sessions that count
    counted : sessions that were not disturbed or, if there are none, all
    no_control : why there is no control; empty if there is one
    """

    network_ms: float
    layers_ms: float
    counted: int
    no_control: str


@dataclass(frozen=True)
class Parameters(InSessions):
    """The protocol that both libraries are sampled by, in so many sessions.

    Parameters
    ----------
    sessions
        That have to be quiet; a few more at most are taken where some are disturbed.
    device
        The entry of the devices file.
    """

    sessions: int
    device: str


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The network with its reference images, lowered, its two libraries and, at execution, the control."""

    network: Network
    lower: Artifact[lower.Values]
    build: Artifact[build.Values]
    instrument: Artifact[instrument.Values]
    control: Artifact[control.Values] | None = field(default=None, metadata=stage.OUTSIDE_KEY)


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Times each program of a network on a device."""

    name = "profile"
