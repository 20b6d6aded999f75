"""One process holds a workspace; the others say which one, wait, and go on, however it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from explorer.core.files import locks
from explorer.workspace import holding
from explorer.workspace.database.records import Records
from explorer.workspace.holding import Holder
from explorer.workspace.store import HOST
from explorer.workspace.workspace import Workspace
from tests import studies

# What the version before wrote into the lock of a workspace on a PostgreSQL server.
BEFORE = {
    "process": "process 7 (dlas run x.toml)",
    "host": HOST,
    "address": {"socket": HOST, "port": 4711, "key": "00"},
}


def start(path: Path, workspace: Path, kill_in: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.studies", str(path), str(workspace), kill_in, "run"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def holder_of(workspace: Path, after: str = "") -> str:
    """Return the process that holds a workspace, once there is one other than `after`."""
    lock = Workspace(workspace).lock
    while not lock.exists() or (holder := Holder.read(lock).process) in ("", after):
        time.sleep(0.05)
    return holder


def comparable(workspace: Path, name: str) -> pd.DataFrame:
    """Return what must be equal in two runs of a study: everything but latencies and times."""
    frame = Records(Workspace(workspace).url).frame(name)
    return frame.drop(columns=["seconds", *studies.VARYING], errors="ignore")


def stages(workspace: Path) -> dict[str, int]:
    """Return how often each stage was executed but for measurements, of which a disturbed one is repeated."""
    return {stage: count for stage, count in studies.executions(workspace).items() if stage != "measure"}


def ended(process: subprocess.Popen[str]) -> list[int]:
    """Return the trials that a process has run, once it ended."""
    output = process.communicate()[0]
    assert process.returncode == 0
    return [int(line) for line in output.split()]


@pytest.mark.slow
def test_holders_may_be_interrupted_and_killed(undisturbed: Path, tmp_path: Path) -> None:
    path, workspace = studies.write_small(tmp_path), tmp_path / "workspace"
    first = start(path, workspace)
    name = holder_of(workspace)
    second = start(path, workspace, "measure")
    while not Records(Workspace(workspace).url).count("small")[0]:
        time.sleep(0.05)
    assert second.poll() is None, "it waits"
    first.send_signal(signal.SIGINT)
    by_first = set(map(int, first.communicate()[0].split()))
    assert holder_of(workspace, after=name).startswith(f"process {second.pid} ")
    last = start(path, workspace)
    by_second = set(map(int, second.communicate()[0].split()))
    assert second.returncode == -signal.SIGKILL
    by_last = ended(last)

    assert by_first
    assert by_last
    assert by_first | by_second | set(by_last) == set(range(4))
    assert Records(Workspace(workspace).url).count("small") == (4, 0, 0)
    assert comparable(workspace, "small").equals(comparable(undisturbed / "workspace", "small"))
    assert stages(workspace) == stages(undisturbed / "workspace")


@pytest.mark.slow
def test_a_process_that_runs_another_study_is_named_and_waited_for(undisturbed: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(undisturbed / "workspace" / "artifacts", workspace / "artifacts")
    one, other = (
        studies.write_space(tmp_path, name=name, models=(studies.SMALL,), algorithms=("gemm",))
        for name in ("one", "other")
    )
    holder = start(one, workspace)
    name = holder_of(workspace)
    events = studies.Events()
    summary = studies.run(other, workspace, events)
    assert (summary.complete, summary.added) == (4, 4)
    assert (
        events.notes[0] == f"{name} works in workspace '{workspace}'; this one goes on with what is left when it ends"
    )
    assert not [note for note in events.notes[1:] if "disturbed" not in note]
    assert len(ended(holder)) == 4


def test_a_lock_of_the_version_before_is_read_and_taken(tmp_path: Path) -> None:
    workspace, told = Workspace(tmp_path), list[str]()
    workspace.lock.write_text(json.dumps(BEFORE))
    workspace.lock.chmod(0o600)
    assert str(Holder.read(workspace.lock)) == "process 7 (dlas run x.toml)"
    waits, goes_on = threading.Event(), threading.Event()

    def tell(message: str) -> None:
        told.append(message)
        waits.set()

    def wait() -> None:
        with holding.held(workspace, tell):
            goes_on.set()

    with workspace.lock.open("a") as before:
        assert locks.taken(before)
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert waits.wait(10)
        assert not goes_on.is_set()
    waiting.join()
    assert goes_on.is_set()
    assert told == [
        f"process 7 (dlas run x.toml) works in workspace '{tmp_path}'; this one goes on with what is left when it ends"
    ]
    assert Holder.read(workspace.lock).process.startswith(f"process {os.getpid()} ")


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"process": "x"}'])
def test_a_holder_that_has_yet_to_write_its_name_is_another_process(content: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(content)
    assert str(Holder.read(tmp_path / "lock")) == "another process"


def test_a_holder_on_another_machine_is_named_with_it() -> None:
    assert str(Holder("process 1 (dlas run)", "far-away")) == "process 1 (dlas run) on far-away"
    assert str(Holder("process 1 (dlas run)", HOST)) == "process 1 (dlas run)"


@pytest.mark.slow
def test_a_process_that_waits_can_be_interrupted(tmp_path: Path) -> None:
    path, workspace = studies.write_space(tmp_path), Workspace(tmp_path / "workspace")
    command = [sys.executable, "-m", "tests.studies", str(path), str(workspace.root), "", "run"]
    with holding.held(workspace, print):
        waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert waiting.stderr
        assert any("works in workspace" in line for line in waiting.stderr), "it says that it waits"
        waiting.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in waiting.communicate()[1]
    with holding.held(workspace, pytest.fail):
        pass


def test_the_holder_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dlas", "run", "x.toml", "--database", "postgresql://me:secret@host/name"])
    workspace = Workspace(tmp_path)
    with holding.held(workspace, pytest.fail):
        assert "postgresql://me:***@host/name" in workspace.lock.read_text()
        assert "secret" not in workspace.lock.read_text()
