"""Types of stage ``tune``: a lowered module, a device and a budget → the best schedules that were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import lower
from explorer.line.contracts.on_device import OnDevice


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    trials : candidates taken into account
    trials_on_record : those of them that were measured before
    tuning_seconds : that all of them took, whenever that was
    layers, layers_faster : how many were tuned, and how many became faster than by the rules
    failed : cause → candidates
    expected_ms, expected_untuned_ms : the sums over the calls of the layers
    """

    trials: int
    trials_on_record: int
    tuning_seconds: float
    layers: int
    layers_faster: int
    failed: dict[str, int]
    expected_ms: float
    expected_untuned_ms: float


@dataclass(frozen=True)
class Parameters(OnDevice):
    """The tuner and its budget, the target, and where candidates are measured.

    Parameters
    ----------
    tuning_trials, tuning_seconds
        0 means no limit.
    device
        Its name.
    database
        Folder of what is on record for all of these but tuner and budget.
    reconnect
        Seconds that a device which is gone is waited for.
    """

    tuner: str
    tuning_trials: int
    tuning_seconds: int
    target: stage.Target
    threads: int
    device: str
    database: str = field(default="", metadata=stage.OUTSIDE_KEY)
    reconnect: float = field(default=0.0, metadata=stage.OUTSIDE_KEY)


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The lowered network."""

    lower: Artifact[lower.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Tunes the schedules of a network's layers."""

    name = "tune"


def database_key(target: stage.Target, threads: int, device: str, identity: str | None = None) -> str:
    """Return the key of the candidates on record for a device, which any network, tuner and budget share."""
    known_as = {"identity": identity} if identity else {}
    return stage.content_key("tune", {"target": target, "threads": threads, "device": device, **known_as}, {})
