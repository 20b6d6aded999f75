"""Whole studies: nothing computed twice, resumed after SIGKILL in any stage, failures recorded, damage mended."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

import explorer
from explorer.core import plugins
from explorer.core.errors import DeviceError, Failure, WorkspaceError
from explorer.core.measurement.sessions import Session
from explorer.inputs import external
from explorer.line.trials import dry_run
from explorer.search.optuna_study.study import Study
from explorer.search.refinement import REPEATS
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import forks, studies
from tests.boards import board
from tests.conftest import Ran
from tests.studies import Events

pytestmark = pytest.mark.slow

STAGES = ("data", "train", "compress", "lower", "build", "evaluate", "measure")
SELECTING = {"plan", "candidates", "select"}  # only for an algorithm that selects; see test_select
QUANTIZING = {"quantize", "harm", "rank", "mix"}  # only for int8 and int8_mixed; see test_narrow, test_mixed_dtypes


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
    executed = Records(Workspace(workspace).url).executions()
    return int(executed[executed["stage"] != "measure"].groupby("key").size().max())


def test_a_grid_over_two_models_trains_two(grid: Ran) -> None:
    assert len(grid.events.outcomes) == 16
    assert not any(isinstance(outcome, Failure) for outcome in grid.events.outcomes.values())
    expected = {"data": 1, "train": 2, "compress": 4, "lower": 8, "build": 8}
    expected |= {"evaluate": 4, "control": 1}
    executed = studies.executions(grid.workspace)
    sessions = executed.pop("measure")
    assert executed == expected
    assert sessions >= 2 * 16
    assert sessions == sum(len(own) for own in sessions_of(grid.workspace, "grid").values())


def test_every_stack_has_its_sessions_and_the_record_says_what_all_of_them_tell(grid: Ran) -> None:
    records = Records(Workspace(grid.workspace).url)
    most = space.load(grid.space).settings.measure.most_sessions
    for number, own in sessions_of(grid.workspace, "grid").items():
        assert 2 <= len(own) <= most
        ((_, _, record),) = records.complete("grid", [number])
        known = records.sessions.latencies()[record.values["measure_key"], "local"]
        assert known.as_columns(1) == {name: record.values[name] for name in known.as_columns(1)}
        assert known.taken == len(own)
        assert known.quiet >= 2 or len(own) == min(2 + REPEATS, most), "disturbed ones are repeated as often as may be"


def test_every_configuration_once_and_optuna_has_the_same_values(grid: Ran) -> None:
    frame = Records(Workspace(grid.workspace).url).frame("grid")
    assert frame["configuration_id"].nunique() == len(frame) == 16
    trials = study_of(grid.workspace, "grid").trials
    assert [t.number for t in trials] == frame["number"].to_list()
    for t, row in zip(trials, frame.to_dict("records"), strict=True):
        first, *_ = sessions_of(grid.workspace, "grid")[t.number]
        assert t.values == [row["accuracy"], first.median_ms, row["size_bytes"]], "as the trial ended"
        assert t.user_attrs["configuration"] == row["configuration_id"]


def test_records_are_plausible(grid: Ran) -> None:
    frame = Records(Workspace(grid.workspace).url).frame("grid")
    assert ((frame["latency_low_ms"] <= frame["latency_ms"]) & (frame["latency_ms"] <= frame["latency_high_ms"])).all()
    assert (frame["latency_ms"] > 0).all()
    assert (frame["latency_sessions"] >= 1).all()
    by_network = frame.groupby(["model", "compression"])
    assert (by_network["accuracy"].nunique() == 1).all(), "algorithms of one network share its accuracy"
    assert (frame["accuracy"] == frame["torch_accuracy"]).all()
    assert ((frame["accuracy_low"] < frame["accuracy"]) & (frame["accuracy"] < frame["accuracy_high"])).all()
    assert (frame["agreement"] == 1).all()
    sizes = by_network["size_bytes"].median().unstack()
    assert (sizes["channel_pruning"] < sizes["none"]).all()


def test_a_second_run_executes_nothing(grid: Ran) -> None:
    before = studies.executions(grid.workspace)
    events = Events()
    summary = studies.run(grid.space, grid.workspace, events)
    assert (summary.added, summary.complete, summary.failed) == (0, 16, 0)
    assert not events.stages
    assert studies.executions(grid.workspace) == before


def test_another_study_in_the_workspace_reuses_everything(grid: Ran, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(grid.workspace, workspace)
    before = studies.executions(workspace)
    summary = studies.run(studies.write_space(tmp_path, name="again"), workspace, Events())
    assert summary.complete == 16
    assert studies.executions(workspace) == before


def test_a_corrupt_artifact_is_rebuilt_and_said(grid: Ran, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(grid.workspace, workspace)
    library = next((workspace / "artifacts" / "build").rglob("network.tar"))
    library.write_bytes(library.read_bytes()[:-1] + b"x")
    events = Events()
    studies.run(studies.write_space(tmp_path, name="again"), workspace, events)
    assert [note for note in events.notes if "corrupt" in note and str(library) in note]
    assert studies.executions(workspace)["build"] == 9
    assert Store(workspace / "artifacts").damage("build", library.parent.name) is None


# Stages of a budget, of every session, of a profile, of ONNX files, and of a metric of one's own.
BESIDE = {"tune", "confirm", "control", "instrument", "profile", "adopt", "prune", "score"}


def test_all_stages_of_the_line_are_those_that_a_study_is_killed_in() -> None:
    assert set(STAGES) == set(plugins.names("stage")) - SELECTING - QUANTIZING - BESIDE


@pytest.mark.parametrize(
    "stages", [("train", "build", "measure"), pytest.param(STAGES, marks=pytest.mark.nightly)], ids=["some", "each"]
)
def test_a_study_killed_in_stages_in_turn_ends_as_an_undisturbed_one(
    stages: tuple[str, ...], undisturbed: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    for stage in stages:
        command = [sys.executable, "-m", "tests.studies", str(undisturbed / "small.toml"), str(workspace), stage, "run"]
        killed = subprocess.run(command, check=False, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    summary = studies.run(undisturbed / "small.toml", workspace, Events())
    assert (summary.complete, summary.failed) == (4, 0)

    expected = comparable(undisturbed / "workspace", "small")
    assert comparable(workspace, "small").equals(expected)
    trials = study_of(workspace, "small").trials
    assert [t.state for t in trials] == [optuna.trial.TrialState.COMPLETE] * 4
    # A kill costs at most the stages that were being executed at that moment, three at a time: none is executed again
    # once it was published, so every key was published once.
    artifacts = [folder.name for folder in (workspace / "artifacts").glob("*/??/*")]
    undisturbed_artifacts = [folder.name for folder in (undisturbed / "workspace" / "artifacts").glob("*/??/*")]
    assert sorted(artifacts) == sorted(undisturbed_artifacts)
    assert most_executions(workspace) == 1


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_study_killed_at_50_random_moments_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    models, algorithms = ("mobilenetv1", "mobilenetv2", "resnet18", "vgg16"), ("direct", "gemm", "spatial_pack")
    path = studies.write_space(tmp_path, models=models, algorithms=algorithms, axes={"ratio": [0.3, 0.5, 0.7]})
    whole, workspace = tmp_path / "undisturbed", tmp_path / "killed"
    studies.run(path, whole, Events())
    drawn = random.Random(0)
    command = [sys.executable, "-m", "tests.studies", str(path), str(workspace), "", "run"]
    for _ in range(50):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(drawn.uniform(1, 8))
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed 50 times"
    assert sum(Records(Workspace(workspace).url).count("grid")) < 96
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    assert comparable(workspace, "grid").equals(comparable(whole, "grid"))
    trials = study_of(workspace, "grid").trials
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 96
    assert most_executions(workspace) == 1


def test_an_interrupted_study_records_no_failure_and_leaves_no_process(undisturbed: Path, tmp_path: Path) -> None:
    """That such a study goes on is held by `test_holders_may_be_interrupted_and_killed`."""
    workspace = tmp_path / "workspace"
    dlas = Path(sys.executable).with_name("dlas")
    command = [str(dlas), "run", str(undisturbed / "small.toml"), "--workspace", str(workspace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    studies.await_training(process, workspace)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "interrupted; the same command goes on from here\n"
    assert len(children) > 1
    assert not psutil.wait_procs(children, timeout=20)[1]
    assert Records(Workspace(workspace).url).count("small") == (0, 0, 0)
    assert Records(Workspace(workspace).url).executions()["failure"].isna().all()


class KillsServer(Events):
    """Kills the loopback device's process, or the session that it serves, when the first measurement begins."""

    def __init__(self, session: bool) -> None:
        super().__init__()
        self._session = session
        self.killed = threading.Event()
        self.open: set[str] = set()  # processes of the run that listen at a port

    def started(self, worker: str, stage: str) -> None:
        super().started(worker, stage)
        if stage == "measure" and not self.killed.is_set():
            threading.Thread(target=self._kill).start()
            if not self._session:
                self.killed.wait()

    def _kill(self) -> None:
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                connections = process.net_connections("inet")
                self.open |= {process.name() for each in connections if each.status == psutil.CONN_LISTEN}
        if self._session:
            while not self.outcomes:  # a device that seems gone is tried again, with another server
                for server in forks.running("explorer.processes.loopback"):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        for session in filter(_has_network, server.children()):
                            session.kill()
                time.sleep(0.001)
        else:
            (server,) = forks.running("explorer.processes.loopback")
            server.kill()
            server.wait()
        self.killed.set()


def _has_network(session: psutil.Process) -> bool:
    """Tell whether a session has loaded a network, and so runs it; before, its end is that of a device."""
    with contextlib.suppress(OSError):  # psutil's way takes longer than the measurement of a small network may
        return "network.tar" in Path(f"/proc/{session.pid}/maps").read_text()
    return False


def test_a_dead_server_is_started_again(undisturbed: Path, tmp_path: Path) -> None:
    events = KillsServer(session=False)
    summary = studies.run(undisturbed / "small.toml", copied(undisturbed, tmp_path), events)
    assert events.killed.is_set()
    assert (summary.complete, summary.failed) == (4, 0)
    assert [note for note in events.notes if "starting it again" in note]
    assert events.open == set(), "a run opens no port that others of this machine reach"


def test_a_network_whose_sessions_die_is_left_alone_and_the_next_run_takes_it_up(
    undisturbed: Path, tmp_path: Path
) -> None:
    events, workspace = KillsServer(session=True), copied(undisturbed, tmp_path)
    summary = studies.run(undisturbed / "small.toml", workspace, events)
    assert events.killed.is_set()
    assert (summary.complete, summary.failed, summary.exhausted) == (3, 0, False)
    (left,) = summary.unfinished
    assert (left.stage, left.kind) == ("measure", "device")
    states = [trial.state for trial in study_of(workspace, "small").trials]
    assert states.count(optuna.trial.TrialState.RUNNING) == 1
    assert study_of(workspace, "small").trials[left.number].user_attrs["unfinished"]["kind"] == "device"
    again = Events()
    summary = studies.run(undisturbed / "small.toml", workspace, again)
    assert (summary.complete, summary.added, summary.unfinished) == (4, 1, [])
    assert list(again.outcomes) == [left.number]


def copied(folder: Path, into: Path) -> Path:
    """Return a workspace with the artifacts of another one and nothing on record."""
    shutil.copytree(folder / "workspace" / "artifacts", into / "workspace" / "artifacts")
    return into / "workspace"


def test_a_study_killed_between_its_record_and_optuna_ends_with_all_its_trials(
    undisturbed: Path, tmp_path: Path
) -> None:
    path = undisturbed / "small.toml"
    workspace = Workspace(copied(undisturbed, tmp_path))
    records, searched = Records(workspace.url), space.load(path)
    asked = Study(searched, workspace, records, external.find(searched, workspace).digests()).ask()
    assert asked
    [outcome] = [
        record for _, c, record in Records(Workspace(undisturbed / "workspace").url).complete("small") if c == asked[1]
    ]
    records.add_trial("small", *asked, outcome, 1.0)
    summary = studies.run(path, workspace.root, Events())
    assert (summary.complete, summary.added) == (4, 3)
    assert [trial.state for trial in study_of(workspace.root, "small").trials] == [optuna.trial.TrialState.COMPLETE] * 4


def test_a_failing_stage_fails_its_trials_and_the_study_goes_on(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, models=(studies.SMALL,), algorithms=("gemm",), train={"learning_rate": 1e3})
    events = Events()
    summary = studies.run(path, tmp_path / "workspace", events)
    assert (summary.complete, summary.failed) == (0, 4)
    assert {(o.stage, o.kind) for o in events.outcomes.values() if isinstance(o, Failure)} == {("train", "not_finite")}
    assert studies.executions(tmp_path / "workspace")["train"] == 1, "the shared failure is not provoked four times"
    states = {t.state for t in study_of(tmp_path / "workspace", "grid").trials}
    assert states == {optuna.trial.TrialState.FAIL}


def test_what_cannot_be_had_fails_with_its_reason(undisturbed: Path, tmp_path: Path) -> None:
    path = studies.write_space(
        tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), measure={"tolerance": 1e-12}
    )
    events = Events()
    summary = studies.run(path, copied(undisturbed, tmp_path), events)
    assert summary.complete == 0
    assert summary.failed >= 2
    for outcome in events.outcomes.values():
        assert isinstance(outcome, Failure)
        assert (outcome.stage, outcome.kind) == ("evaluate", "wrong_output")
        assert "allowed: 1e-12; outputs part in layer" in outcome.message


def test_an_algorithm_that_no_layer_can_run_fails_with_its_reason(tmp_path: Path) -> None:
    model = "tests.custom_plugins:halving"
    axes = {"compression": "none", "ratio": None}
    path = studies.write_space(tmp_path, name="small", models=(model,), algorithms=("winograd",), axes=axes)
    events = Events()
    assert studies.run(path, tmp_path / "workspace", events).failed == 2
    for outcome in events.outcomes.values():
        assert isinstance(outcome, Failure)
        assert (outcome.stage, outcome.kind) == ("lower", "not_applicable")
        assert outcome.message == (
            "no convolution can run as winograd in format dense: winograd is for stride 1 and dilation 1"
        )


def test_pruned_weights_in_csr_take_less_room(grid: Ran, tmp_path: Path) -> None:
    axes = {"compression": "weight_pruning", "ratio": 0.9, "format": ["dense", "csr"], "threads": 1}
    path = studies.write_space(tmp_path, name="small", models=("resnet18",), algorithms=("gemm",), axes=axes)
    summary = studies.run(path, copied(grid.workspace.parent, tmp_path), Events())
    assert (summary.complete, summary.failed) == (2, 0)
    trials = Records(Workspace(tmp_path / "workspace").url).frame("small").set_index("format")
    for size in (trials["size_bytes"], trials["weight_bytes"]):
        assert size["csr"] < 0.5 * size["dense"]
    assert trials["weight_bytes_before"].eq(4 * trials["weights"]).all()
    assert (trials["weight_bytes"] < trials["size_bytes"]).all()
    stored = sum(layer["stored_bytes"] for layer in explorer.layers(1, tmp_path / "workspace", "small"))
    assert stored == trials["weight_bytes"].iloc[1]


def test_a_multiple_named_vector_is_that_of_the_target_and_shares_its_network(
    undisturbed: Path, tmp_path: Path
) -> None:
    axes = {"compression": "channel_pruning", "channel_multiple": [4, 8, 16, "vector"], "threads": 1}
    path = studies.write_space(tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), axes=axes)
    workspace = copied(undisturbed, tmp_path)
    shutil.rmtree(workspace / "artifacts" / "compress")
    summary = studies.run(path, workspace, Events())
    assert (summary.complete, summary.failed) == (4, 0)
    trials = Records(Workspace(tmp_path / "workspace").url).frame("small").set_index("channel_multiple")
    lanes = int(trials["kept_in_multiples_of"]["vector"])
    assert lanes in (4, 8, 16)
    assert trials["compress_key"].to_dict()["vector"] == trials["compress_key"].to_dict()[lanes]
    assert studies.executions(tmp_path / "workspace")["compress"] == 3


def test_batches_share_an_accuracy_and_are_measured_apart(tmp_path: Path) -> None:
    axes = {"compression": "none", "ratio": None, "batch": [1, 4], "threads": 1}
    path = studies.write_space(tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), axes=axes)
    summary = studies.run(path, tmp_path / "workspace", Events())
    assert (summary.complete, summary.failed) == (2, 0)
    trials = Records(Workspace(tmp_path / "workspace").url).frame("small").set_index("batch")
    assert sorted(trials.index) == [1, 4]
    assert (trials["latency_ms"] > 0).all()
    assert trials["accuracy"].nunique() == trials["evaluate_key"].nunique() == 1
    assert trials["measure_key"].nunique() == 2
    executed = studies.executions(tmp_path / "workspace")
    assert executed.pop("measure") >= 2 * 2
    counts = {each.stage: each.distinct for each in dry_run.count(space.load(path))}
    assert counts == {"data": 1, "train": 1, "compress": 1, "lower": 2, "build": 2, "evaluate": 1, "measure": 2}
    assert counts.items() - executed.items() == {("measure", 2)}
    layers = [explorer.layers(number, tmp_path / "workspace", "small") for number in (0, 1)]
    assert sorted({layer["input"][0] for layer in own} for own in layers) == [{1}, {4}]


@pytest.mark.nightly  # test_holders_may_be_interrupted_and_killed has a third process that goes on after such a kill
def test_a_second_process_goes_on_when_the_first_one_is_killed(undisturbed: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    dlas = [sys.executable, "-m", "tests.dlas"]
    command = [*dlas, "run", str(undisturbed / "small.toml"), "--workspace", str(workspace)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)
    studies.await_training(first, workspace)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert second.stdout
    for line in second.stdout:
        if f"process {first.pid}" in line:
            break
    first.kill()
    first.wait()
    said = second.stdout.read()
    assert second.wait() == 0
    assert "4 trials;" in said
    assert comparable(workspace, "small").equals(comparable(undisturbed / "workspace", "small"))


def test_a_study_of_another_space_is_refused(grid: Ran, tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, name="grid", models=("resnet18",))
    with pytest.raises(WorkspaceError, match="other axes"):
        studies.run(path, grid.workspace, Events())


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
