"""Types of stage ``select``: planned layers and a device → the algorithm of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import candidates, plan
from explorer.line.contracts.on_device import OnDevice


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    expected_ms : of the network with what was selected
    samples : for every problem candidate → milliseconds of each run, nothing where that was known; the engine puts
        them on record
    problems, measured : how many problems there are and, among them, were measured now; the engine adds both
    """

    expected_ms: float
    samples: NotRequired[list[dict[str, list[float]]]]
    problems: NotRequired[int]
    measured: NotRequired[int]


@dataclass(frozen=True)
class Parameters(OnDevice):
    """The algorithm that selects, what its kernels are for, and where they are measured.

    Parameters
    ----------
    device
        Its name.
    known
        For every problem candidate → milliseconds or, where that is to be measured, nothing.
    """

    algorithm: str
    format: str
    dtype: str
    target: stage.Target
    threads: int
    device: str
    known: Sequence[Mapping[str, float]] = field(default=(), metadata=stage.OUTSIDE_KEY)


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The plan and, where something is to be measured, a library of candidates."""

    plan: Artifact[plan.Values]
    candidates: Artifact[candidates.Values] | None = field(default=None, metadata=stage.OUTSIDE_KEY)


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Selects an algorithm for every layer."""

    name = "select"


def latency_keys(asked: Stage) -> list[dict[str, str]]:
    """Return for every problem of the plan: candidate → the key under which its latency is on record."""
    planned = asked.parents.plan.values
    own = asked.parameters
    shared = own.target, own.threads, planned["evicted_bytes"], own.identity
    return [
        {name: candidates.latency_key(each["problem"], name, *shared) for name in each["candidates"]}
        for each in planned["problems"]
    ]
