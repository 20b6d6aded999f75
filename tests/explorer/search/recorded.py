"""Records of studies that ran, to be compared; and a workspace that has artifacts and no records."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna

from explorer.core.measurement.sessions import Session
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies


def study_of(ran_workspace: Path, name: str) -> Any:
    return optuna.load_study(study_name=name, storage=Workspace(ran_workspace).url)


def comparable(workspace: Path, name: str) -> Any:
    """Return what must be equal in two runs of a study: everything but latencies, with their sessions, and times."""
    frame = Records(Workspace(workspace).url).frame(name)
    return frame.drop(columns=["seconds", *studies.VARYING], errors="ignore")


def sessions_of(workspace: Path, name: str) -> dict[int, list[Session]]:
    """Return the sessions of each stack of a study on this machine, by the trial's number."""
    records = Records(Workspace(workspace).url)
    found = records.complete(name)
    return {number: records.sessions.of(record.values["measure_key"], "local") for number, _, record in found}


def most_executions(workspace: Path) -> int:
    """Return how often one stage was executed at most; a measurement is meant to have several sessions."""
    executed = Records(Workspace(workspace).url).executions.frame()
    return int(executed[executed["stage"] != "measure"].groupby("key").size().max())


def copied(folder: Path, into: Path) -> Path:
    """Return a workspace with the artifacts of another one and nothing on record."""
    shutil.copytree(folder / "workspace" / "artifacts", into / "workspace" / "artifacts")
    return into / "workspace"
