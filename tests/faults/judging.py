"""Workspaces of a disturbed and an undisturbed run of a study → what the disturbed one lost, repeated or got wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests.studies import VARYING

OBSERVED = ("measure", "profile")  # stages that a key may have several sessions of
# Columns of a stack that timing has chosen kernels for: the others depend on the choice.
UNCHOSEN = ("state", "data_key", "train_key", "compress_key", "torch_accuracy", "trained_accuracy", "parameters")


@dataclass(frozen=True)
class Judged:
    """What a fault has done to a study.

    Parameters
    ----------
    lost
        Trials that are not complete.
    twice
        Stages that were executed again after their artifact was published, by name, each as often as it was.
    wrong
        Trials with other values.
    """

    lost: int
    twice: list[str]
    wrong: int


def judged(workspace: Path, undisturbed: Path, study: str, again: Sequence[str] = ()) -> Judged:
    """Compare two workspaces.

    Parameters
    ----------
    again
        Keys whose artifacts were damaged, so that they had to be executed again.
    """
    expected, found = _trials(undisturbed, study), _trials(workspace, study)
    complete = found[found["state"] == "complete"]
    both = [each for each in expected.index if each in complete.index]
    wrong = sum(_row(expected, each) != _row(found, each) for each in both)
    return Judged(len(expected) - len(both), _twice(workspace, again), wrong)


def _trials(workspace: Path, study: str) -> pd.DataFrame:
    records = Records(Workspace(workspace).url)
    try:
        frame = records.frame(study)
        return frame.set_index("configuration_id") if len(frame) else pd.DataFrame(columns=["state"])
    finally:
        records.close()


def _row(frame: pd.DataFrame, configuration: str) -> dict[str, Any]:
    """Return what must be equal of a trial."""
    values = dict(frame.loc[configuration].dropna())
    if values["algorithm"] == "auto" or values["tuning_trials"]:
        return {name: values.get(name) for name in UNCHOSEN}
    return {name: value for name, value in values.items() if name not in ("number", "seconds", *VARYING)}


def _twice(workspace: Path, again: Sequence[str]) -> list[str]:
    records = Records(Workspace(workspace).url)
    try:
        succeeded = records.executions.succeeded()
        done = [(stage, key) for stage, key, _ in succeeded if stage not in OBSERVED and key not in again]
    finally:
        records.close()
    return [stage for (stage, _), times in Counter(done).items() for _ in range(times - 1)]
