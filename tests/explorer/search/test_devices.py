"""Studies on devices other than the local one, and what is refused of any before anything is trained."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from explorer.core.errors import DeviceError
from explorer.line.trials import dry_run
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.boards import board
from tests.explorer.search.recorded import copied
from tests.studies import Events

pytestmark = pytest.mark.slow


def test_a_device_behind_a_tracker_of_its_own_is_used_in_the_same_way(undisturbed: Path, tmp_path: Path) -> None:
    path = studies.write_space(
        tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), axes={"device": ["local", "board"]}
    )
    workspace = copied(undisturbed, tmp_path)
    with board("key-of-board", sorted(os.sched_getaffinity(0)), tmp_path / "log") as tracker:
        (tmp_path / "devices.toml").write_text(f'[board]\ntracker = "{tracker}"\nkey = "key-of-board"\n')
        summary = studies.run(path, workspace, Events())
    assert (summary.complete, summary.failed) == (8, 0)
    frame = Records(Workspace(workspace).url).frame("small")
    assert frame.groupby("device").size().to_dict() == {"local": 4, "board": 4}
    # Both devices have this machine's processor, so everything but the measurement is shared.
    executed = studies.executions(workspace)
    assert executed.pop("measure") >= 2 * 8
    assert executed == {}


def test_the_accuracy_for_another_target_is_taken_on_this_machine(undisturbed: Path, tmp_path: Path) -> None:
    path = studies.write_space(
        tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), axes={"device": "board"}
    )
    workspace = copied(undisturbed, tmp_path)
    shutil.rmtree(workspace / "artifacts" / "evaluate")
    target = '{ kind = "llvm", mcpu = "x86-64", num-cores = 2 }'
    (tmp_path / "devices.toml").write_text(f'[board]\ntracker = "loopback"\ntarget = {target}\n')
    summary = studies.run(path, workspace, Events())
    assert (summary.complete, summary.failed) == (4, 0)
    # What the undisturbed study compiled for this machine is evaluated for the other target as well.
    executed = studies.executions(workspace)
    assert executed.pop("measure") >= 2 * 4
    assert executed == {"lower": 2, "build": 2, "evaluate": 2, "control": 1}
    found = Counter(folder.parts[-3] for folder in (workspace / "artifacts").glob("*/??/*"))
    counts = {each.stage: each.distinct for each in dry_run.count(space.load(path))}
    found.pop("control")  # that a plan leaves out: it takes a second
    assert counts == {**found, "measure": 4}
    frame = Records(Workspace(workspace).url).frame("small")
    assert (frame["accuracy"] == frame["torch_accuracy"]).all()


def test_more_threads_than_the_local_device_has_cores(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, axes={"threads": [1, 4096]})
    with pytest.raises(DeviceError, match=r"asks for 4096 threads and device 'local' has \d+ cores; allowed"):
        studies.run(path, tmp_path / "workspace", Events())


def test_an_unreachable_device_is_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, axes={"device": "board"})
    (tmp_path / "devices.toml").write_text(
        '[board]\ntracker = "127.0.0.1:1"\ntarget = { kind = "llvm", mcpu = "x86-64", num-cores = 2 }\n'
    )
    events = Events()
    with pytest.raises(DeviceError, match=r"127\.0\.0\.1:1.*rpc_server"):
        studies.run(path, tmp_path / "workspace", events)
    assert events.stages == ["reach board"]
    assert not studies.executions(tmp_path / "workspace")
