"""Types of stage ``measure``: a library and a device → latency samples.

The one stage without an artifact: its values are an observation, which the records keep for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import build, lower
from explorer.line.contracts.compress import Network
from explorer.line.contracts.on_device import OnDevice


class Disturbance(TypedDict):
    """Possible causes of a disturbed measurement on this machine: the time, and the load average of a minute."""

    time: float
    load: float


class State(TypedDict):
    """The state of this machine before and after a measurement, and TVM's version."""

    before: Disturbance
    after: Disturbance
    tvm: str


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    relative_error : how far outputs lie from the reference at most, as a share of its range
    """

    samples_ms: list[float]
    runs_per_sample: int
    relative_error: float
    state: State


@dataclass(frozen=True)
class Parameters(OnDevice):
    """The protocol that latencies are measured by; see `explorer.core.settings.MeasureSettings`.

    Parameters
    ----------
    tolerance
        How far outputs may lie from the reference, as a share of its range.
    """

    threads: int
    samples: int
    sample_ms: float
    warmup_ms: float
    tolerance: float


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The library, what it was built of, and the network with its reference."""

    network: Network
    lower: Artifact[lower.Values]
    build: Artifact[build.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Measures a library on a device."""

    name = "measure"
