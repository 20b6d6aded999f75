"""The types of every stage, one module each: ``Parameters``, ``Parents``, ``Values`` and ``Stage``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from explorer.core.artifact import Artifact
from explorer.line.contracts import (
    adopt,
    build,
    candidates,
    compress,
    confirm,
    control,
    data,
    evaluate,
    harm,
    instrument,
    lower,
    measure,
    mix,
    plan,
    profile,
    prune,
    quantize,
    rank,
    score,
    select,
    train,
    tune,
)
from explorer.line.stage import Parameters, Parents

__all__ = [
    "adopt",
    "build",
    "candidates",
    "compress",
    "confirm",
    "control",
    "data",
    "evaluate",
    "harm",
    "instrument",
    "lower",
    "measure",
    "mix",
    "parse",
    "plan",
    "profile",
    "prune",
    "quantize",
    "rank",
    "score",
    "select",
    "train",
    "tune",
]


class Contract(Protocol):
    """A module of this package; see `explorer.line.stage`."""

    Parameters: type[Parameters]
    Parents: type[Parents]


class StageModule(Protocol):
    """A module of `explorer.line.stages`."""

    def run(self, parameters: Parameters, parents: Parents, out: Path) -> Mapping[str, object]:
        """Write files into the folder `out` and return the stage's values."""


def parse(stage: str, parameters: Mapping[str, object], parents: Mapping[str, Artifact]) -> tuple[Parameters, Parents]:
    """Return the typed parameters and parents of `stage` that a request in JSON has."""
    contract = cast(Contract, importlib.import_module(f"{__name__}.{stage}"))
    return contract.Parameters.from_json(parameters), contract.Parents.of(parents)
