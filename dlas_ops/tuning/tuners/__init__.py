"""Tuner's name → its module: a space of schedules for a tensor program, and a search through it.

A tuner is one file of this folder that defines what `Tuner` says.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol, TypeAlias, cast

from dlas_ops._types import PrimFunc, Target

# The decision of a search: plain JSON values, such as one value per tunable or the steps of a trace.
Decision: TypeAlias = Any


class Search(Protocol):
    """A search through the schedules of one tensor program."""

    def propose(self, count: int) -> list[Decision]:
        """Return at most `count` decisions that were neither proposed nor learned before; none if none are left."""

    def learn(self, decision: Decision, seconds: float | None) -> None:
        """Take in what a decision was measured at, None if it failed."""


class Tuner(Protocol):
    """A space of schedules for tensor programs, and searches through it."""

    def refuses(self, target: Target) -> str | None:
        """Return why it tunes nothing for `target`, in one sentence, or None."""

    def supports(self, function: PrimFunc, target: Target) -> str | None:
        """Return why there is nothing to try for `function`, in one sentence, or None."""

    def search(self, function: PrimFunc, target: Target, seed: int) -> Search:
        """Return a search through the schedules of `function`; equal seeds propose the same."""

    def schedule(self, function: PrimFunc, target: Target, decision: Decision) -> PrimFunc:
        """Return `function`, scheduled as `decision` says; raise `ValueError` if that is none of `function`."""

    def transferred(self, function: PrimFunc, target: Target, decision: Decision) -> Decision | None:
        """Return a decision made for another shape, fitted to `function`, or None."""


def implemented() -> list[str]:
    """Return the names of all tuners, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Tuner:
    """Import and return the tuner's module."""
    return cast(Tuner, importlib.import_module(f"dlas_ops.tuning.tuners.{name}"))
