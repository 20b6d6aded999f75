"""Tuner's name → its module: a space of schedules for a tensor program, and a search through it.

A tuner is one file of this folder that defines::

    def supports(function, target):           # why it has nothing to try for the program in one sentence, or None
    def search(function, target, seed):       # a `Search` through the schedules of the program
    def schedule(function, target, decision): # the program, scheduled as a decision of the search says
    def transferred(function, target, decision):  # a decision made for another shape, fitted to this program, or None
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any, Protocol, TypeAlias

# What a search decides: plain JSON values, such as one value per tunable or the steps of a trace.
Decision: TypeAlias = Any


class Search(Protocol):
    """A search through the schedules of one tensor program."""

    def propose(self, count: int) -> list[Decision]:
        """Return at most `count` decisions that were neither proposed nor learned before; none if none are left."""

    def learn(self, decision: Decision, seconds: float | None) -> None:
        """Take in what a decision was measured at, None if it failed."""


def implemented() -> list[str]:
    """Return the names of all tuners, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> ModuleType:
    """Import and return the tuner's module."""
    return importlib.import_module(f"dlas_ops.tuning.tuners.{name}")
