"""Studies whose surroundings fail: what was cut off is tried again, and what is left the next run takes up."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path

import optuna
import psutil
import pytest

from explorer.core.errors import Failure
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import forks, studies
from tests.explorer.search.recorded import copied
from tests.studies import Events

pytestmark = pytest.mark.slow


class KillsWorkers(Events):
    """Kills the worker for torch as soon as it executes `stage`, so many times."""

    def __init__(self, stage: str, times: int) -> None:
        super().__init__()
        self._stage, self._left = stage, times

    def started(self, worker: str, stage: str) -> None:
        super().started(worker, stage)
        if stage == self._stage and self._left:
            self._left -= 1
            threading.Thread(target=self._kill).start()

    @staticmethod
    def _kill() -> None:
        while True:
            for process in forks.running("explorer.processes.worker"):
                parent = process.parent()
                if parent and "torch" in parent.cmdline():
                    process.kill()
                    return
            time.sleep(0.001)


class SilencesDevice(Events):
    """Stops the process of the first session that a stage has on the local device, for good."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage, self._done = stage, False

    def started(self, worker: str, stage: str) -> None:
        super().started(worker, stage)
        if stage == self._stage and not self._done:
            self._done = True
            threading.Thread(target=self._stop).start()

    @staticmethod
    def _stop() -> None:
        while True:
            for server in forks.running("explorer.processes.loopback"):
                for session in server.children():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        time.sleep(0.05)  # then it has answered
                        session.suspend()
                        return
            time.sleep(0.001)


def write_two(folder: Path) -> Path:
    """Write the space of 2 of `small`'s 4 configurations, and return its path."""
    return studies.write_space(folder, "small", (studies.SMALL,), ("gemm",), axes={"threads": 1})


def test_a_worker_that_is_killed_once_costs_no_trial(tmp_path: Path) -> None:
    events = KillsWorkers("data", 1)
    summary = studies.run(write_two(tmp_path), tmp_path / "workspace", events)
    assert (summary.complete, summary.failed, summary.unfinished) == (2, 0, [])
    assert [note for note in events.notes if note.startswith("data is tried again, since it failed: the torch worker")]
    executed = Records(Workspace(tmp_path / "workspace").url).executions.frame()
    data = executed[executed["stage"] == "data"]
    assert data["failure"].notna().any(), "each attempt is on record"
    assert data["failure"].isna().sum() == 1, "what is published is not executed again"


@pytest.mark.nightly  # it waits for 30 s; `tests/explorer/line/device/test_silence.py` has what gives the device up
def test_a_device_that_goes_silent_costs_no_trial(undisturbed: Path, tmp_path: Path) -> None:
    events = SilencesDevice("measure")
    summary = studies.run(undisturbed / "small.toml", copied(undisturbed, tmp_path), events)
    assert (summary.complete, summary.failed, summary.unfinished) == (4, 0, [])
    [again] = [note for note in events.notes if note.startswith("measure is tried again")]
    assert re.search(r"the device has said nothing for \d+ s|does not answer \(no answer for 15 s\)", again)


def test_what_always_fails_is_left_to_the_next_run_with_its_reason(tmp_path: Path) -> None:
    path, workspace = write_two(tmp_path), tmp_path / "workspace"
    events = KillsWorkers("data", 3)
    summary = studies.run(path, workspace, events)
    assert (summary.ended, len(summary.unfinished), summary.exhausted) == (0, 2, False)
    assert studies.executions(workspace) == {"data": 3}, "the attempts are shared by the trials that need the stage"
    assert {(each.stage, each.kind) for each in summary.unfinished} == {("data", "crash")}
    assert all(isinstance(each, Failure) and "SIGKILL" in each.message for each in events.outcomes.values())
    study = optuna.load_study(study_name="small", storage=Workspace(workspace).url)
    assert {trial.state for trial in study.trials} == {optuna.trial.TrialState.RUNNING}
    again = Events()
    assert studies.run(path, workspace, again).complete == 2
    assert sorted(again.outcomes) == sorted(each.number for each in summary.unfinished)


def test_a_grid_leaves_and_takes_up_likewise(tmp_path: Path) -> None:
    path, workspace = write_two(tmp_path), tmp_path / "workspace"
    summary = studies.run_grid(path, workspace, KillsWorkers("train", 3))
    assert (summary.ended, len(summary.unfinished)) == (0, 2)
    summary = studies.run_grid(path, workspace, Events())
    assert (summary.complete, summary.added, summary.unfinished) == (2, 2, [])
    assert studies.executions(workspace)["data"] == 1
