"""Types of stage ``measure``: a library and a device → times and memory in one session.

The one stage without an artifact: its values are an observation, which the records keep for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import build, control, lower
from explorer.line.contracts.compress import Network
from explorer.line.contracts.on_device import InSessions


class DeviceState(TypedDict):
    """The state of a device, by its own account; None for what cannot be read there.

    Attributes
    ----------
    time : of this machine, in seconds since 1970
    running_s : that the process on this machine has been running for; differences count
    load : processes that run or wait to, the average of a minute
    busy_s, steal_s : seconds of all cores since the start: at work for anybody, and taken away by a host
    own_s : seconds of all cores that the session's process has had
    frequency_mhz, temperature_c : of the first core
    throttled : how often the first core was slowed down for its heat
    """

    time: float
    running_s: float
    load: float | None
    busy_s: float | None
    steal_s: float | None
    own_s: float | None
    frequency_mhz: float | None
    temperature_c: float | None
    throttled: float | None


class State(TypedDict):
    """The state of the device before and after the samples, None without a control, and TVM's version."""

    before: DeviceState | None
    after: DeviceState | None
    tvm: str


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    samples_ms : all of them, in their order; each is the mean of some runs
    quiet : indices of those that were taken while the control was quiet
    runs_ms : of each sample its runs
    load_ms : until the linked library, which the system has in its file cache, can run
    first_ms : the first inference after that
    server_peak_bytes : the most memory that the session's process has held; None where it cannot be read
    readings : of the control, in ms and microseconds, beside the samples; see
        `explorer.core.measurement.sessions.quiet_samples`
    typical : the control's typical readings beside the quiet samples, in the order of `Readings`
    relative_error : how far outputs lie from the reference at most, as a share of its range; None where not compared
    waited_s : until the control was quiet
    taken_again : samples that a process or machine stood still in, which are not among these
    no_control : why there is no control; empty if there is one
    """

    samples_ms: list[float]
    quiet: list[int]
    runs_ms: list[list[float]]
    load_ms: float
    first_ms: float
    server_peak_bytes: int | None
    readings: dict[str, list[float]]
    typical: list[float | None]
    relative_error: float | None
    waited_s: float
    taken_again: int
    no_control: str
    state: State


@dataclass(frozen=True)
class Parameters(InSessions):
    """The protocol that latencies are measured by.

    Parameters
    ----------
    tolerance
        How far outputs may lie from the reference, as a share of its range.
    compares
        Whether outputs are compared: in the first session of a library.
    """

    tolerance: float
    compares: bool = field(default=True, kw_only=True, metadata=stage.OUTSIDE_KEY)


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The library, what it was built of, the network with its reference and, at execution, the control."""

    network: Network
    lower: Artifact[lower.Values]
    build: Artifact[build.Values]
    control: Artifact[control.Values] | None = field(default=None, metadata=stage.OUTSIDE_KEY)


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Measures a library on a device."""

    name = "measure"
