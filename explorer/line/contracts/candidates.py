"""Types of stage ``candidates``: what layers compute → a library with every candidate kernel for them.

The engine asks for it before ``select``; the trial does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from explorer.line import stage
from explorer.line.contracts.plan import Problem


class Values(TypedDict):
    """The number of problems that the library has kernels for."""

    problems: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The problems that nothing is on record of, and the target."""

    problems: Sequence[Problem]
    target: stage.Target


@dataclass(frozen=True)
class Parents(stage.Parents):
    """None: networks with the same layers share a library."""


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Builds candidate kernels."""

    name = "candidates"


def latency_key(
    problem: Problem,
    candidate: str,
    target: stage.Target,
    threads: int,
    evicted_bytes: int,
    identity: str | None = None,
) -> str:
    """Return the key that the latency of a problem's candidate is on record under, on every device of an identity."""
    parameters = {
        "problem": problem,
        "candidate": candidate,
        "target": target,
        "threads": threads,
        "evicted_bytes": evicted_bytes,
        **({"identity": identity} if identity else {}),
    }
    return stage.content_key("candidates", parameters, {})
