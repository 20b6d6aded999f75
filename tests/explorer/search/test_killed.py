"""Studies that are killed, interrupted or lose their device's server: they end as undisturbed ones."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import psutil
import pytest

from explorer.core import plugins
from explorer.inputs import external
from explorer.search.optuna_study.study import Study
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import forks, studies
from tests.explorer.search.recorded import comparable, copied, most_executions, study_of
from tests.studies import Events

pytestmark = pytest.mark.slow
STAGES = ("data", "train", "compress", "lower", "build", "evaluate", "measure")
SELECTING = {"plan", "candidates", "select"}  # only for an algorithm that selects; see test_select
QUANTIZING = {"quantize", "harm", "rank", "mix"}  # only for int8 and int8_mixed; see test_narrow, test_mixed_dtypes
# Stages of a budget, of every session, of a profile, of ONNX files, and of a metric of one's own.
BESIDE = {"tune", "confirm", "control", "instrument", "profile", "adopt", "prune", "score"}


def test_all_stages_of_the_line_are_those_that_a_study_is_killed_in() -> None:
    assert set(STAGES) == set(plugins.names("stage")) - SELECTING - QUANTIZING - BESIDE


@pytest.mark.parametrize(
    "stages", [("train", "measure"), pytest.param(STAGES, marks=pytest.mark.nightly)], ids=["some", "each"]
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
    began = time.monotonic()
    studies.run(path, whole, Events())
    longest = (time.monotonic() - began) / 25  # 50 of half that on average are as long as the whole study
    drawn = random.Random(0)
    command = [sys.executable, "-m", "tests.studies", str(path), str(workspace), "", "run"]
    for _ in range(50):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(1 + drawn.uniform(0, longest))
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
    assert Records(Workspace(workspace).url).executions.frame()["failure"].isna().all()


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
