"""Several processes on one study: each helps the one that leads, whoever ends is made up for, and nothing is twice."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explorer.search import helping
from explorer.workspace.records import Records
from explorer.workspace.workspace import Address, Holder, Workspace
from tests import studies
from tests.conftest import Ran
from tests.explorer.search.test_search import comparable


def start(path: Path, workspace: Path, kill_in: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.studies", str(path), str(workspace), kill_in, "run"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def address_in(workspace: Path, after: str = "") -> str:
    """Return the address of the process that leads, once there is one other than `after`."""
    address = after
    while address in ("", after):
        time.sleep(0.05)
        with contextlib.suppress(OSError, ValueError):  # not there yet, or being written
            told = json.loads((workspace / "lock").read_text())["address"]
            address = told["socket"] if told else ""
    return address


def ended(process: subprocess.Popen[str]) -> list[int]:
    """Return the trials that a process has run, once it ended."""
    output = process.communicate()[0]
    assert process.returncode == 0
    return [int(line) for line in output.split()]


@pytest.mark.slow
def test_helpers_may_be_killed_and_leaders_interrupted(grid: Ran, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    leader = start(grid.space, workspace)
    address = address_in(workspace)
    killed = start(grid.space, workspace, "build")
    helper = start(grid.space, workspace)
    assert killed.wait() == -signal.SIGKILL
    while not Records(Workspace(workspace).url).count("grid")[0] >= 8:
        time.sleep(0.1)
    leader.send_signal(signal.SIGINT)
    before = set(map(int, leader.communicate()[0].split()))
    address_in(workspace, after=address)  # of the one that helped
    late = start(grid.space, workspace)
    by_helper, by_late = ended(helper), ended(late)

    assert before
    assert by_helper
    assert set(by_late) <= set(by_helper), "who leads is told of what others run"
    assert comparable(workspace, "grid").equals(comparable(grid.workspace, "grid"))
    assert Records(Workspace(workspace).url).count("grid") == (24, 0, 0)
    assert studies.executions(workspace) == studies.executions(grid.workspace)


@pytest.mark.slow
def test_who_runs_another_study_is_not_helped_but_waited_for(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    one, other = (
        studies.write_space(tmp_path, name=name, models=("resnet18",), algorithms=("gemm",))
        for name in ("one", "other")
    )
    leader = start(one, workspace)
    address = address_in(workspace)
    assert "another study" in str(helping.refusal(Holder(address=Address(address)), {"name": "other"}))
    events = studies.Events()
    summary = studies.run(other, workspace, events)
    assert (summary.complete, summary.added) == (4, 4)
    assert "it cannot be helped" in events.notes[1]
    assert len(ended(leader)) == 4


def test_nobody_at_an_address_is_no_refusal(tmp_path: Path) -> None:
    assert helping.refusal(Holder(address=Address(str(tmp_path / "socket"))), {}) is None
    assert helping.refusal(Holder(address=Address("nowhere.invalid", 1, "00")), {}) is None
