"""Lowered module and a budget of measured candidates → schedules; a budget of 0 keeps the rule-based ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.errors import Failure, StageFailed
from explorer.store import Artifact

VERSION = 1
WORKER = "tvm"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Return ``{"tuned": 0}``, the number of layers whose schedule the tuner replaced.

    Raises
    ------
    StageFailed
        Of kind ``not_available`` for a budget above 0: there is no tuner in this version, and an untuned network must
        not pass as a tuned one.
    """
    if parameters["tuning_trials"] > 0:
        message = f"tuning_trials = {parameters['tuning_trials']}: this version has no tuner; allowed: 0"
        raise StageFailed(Failure("tune", "not_available", message))
    return {"tuned": 0}
