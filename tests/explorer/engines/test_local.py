"""Workers of this machine: how many at once, on which threads and GPUs, and a long training on all cores."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import explorer
from dlas_ops.processor.usable_cores import thread_limit
from explorer import cli
from explorer.core.artifact import Artifact
from explorer.core.errors import ExplorerError
from explorer.core.settings import DataSettings, TrainSettings
from explorer.engines import executor, local
from explorer.engines.context import EngineContext
from explorer.engines.engine import Engine
from explorer.engines.local import LocalWorkers, Share
from explorer.engines.workers import ALONE
from explorer.inputs.external import ExternalInputs
from explorer.line import contracts
from explorer.processes.gpus import VARIABLE
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.scripted_workers import context_of


class Listening(studies.Events):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def advanced(self, worker: str, done: int, total: int, text: str) -> None:
        self.told.append(text)


def test_a_long_training_runs_on_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "LONG_TRAINING", 1)
    workspace = Workspace(tmp_path)
    store, events = Store(workspace.artifacts), Listening()
    external = ExternalInputs({}, {}, {})
    context = EngineContext(store, Records(workspace.url), workspace.logs, external, {}, 1, events)
    engine = Engine(context, local.build(context, None))
    try:
        source = Artifact("source", "source", tmp_path)
        images = contracts.data.Parameters("digits", DataSettings())
        data = engine.run(contracts.data.Stage(images, contracts.data.Parents(source)))
        # Few steps: where other processes are at work, threads that wait for one another at every operator take long.
        model = contracts.train.Parameters("resnet18", 0.125, TrainSettings(epochs=1, batch_size=512))
        trained = engine.run(contracts.train.Stage(model, contracts.train.Parents(data)))
    finally:
        engine.stop()
    assert [span.worker for span in events.spans] == ["torch 1", ALONE]
    assert events.told[0].startswith("epoch 1 of 1, loss ")
    assert trained.values["threads"] == thread_limit()


@pytest.mark.parametrize(
    ("jobs", "cores", "gpus", "share"),
    [
        (None, 1, 0, Share(trainings=1, compilations=1, threads=1)),
        (None, 2, 0, Share(trainings=1, compilations=2, threads=1)),
        (None, 16, 1, Share(trainings=1, compilations=16, threads=8)),
        (None, 16, 4, Share(trainings=4, compilations=16, threads=2)),
        (1, 16, 4, Share(trainings=1, compilations=1, threads=8)),
        (4, 16, 0, Share(trainings=4, compilations=4, threads=2)),
        (8, 2, 0, Share(trainings=8, compilations=8, threads=1)),
    ],
)
def test_jobs_say_how_much_runs_at_once(jobs: int | None, cores: int, gpus: int, share: Share) -> None:
    assert Share.of(jobs, cores, gpus) == share


def test_as_many_workers_as_jobs_are_at_work_at_once(tmp_path: Path) -> None:
    workers = LocalWorkers(context_of(tmp_path, jobs=3), 2, ())
    assert workers.sizes == {"torch": 3, "tvm": 3}
    assert workers.concurrency == 6
    with workers.start(), contextlib.ExitStack() as borrowed:
        at_work = [borrowed.enter_context(workers.worker("torch")) for _ in range(3)]
        asked = {"call": "os:getpid", "arguments": {}}
        assert len({worker.request(asked) for worker in at_work}) == 3


def test_trainings_go_on_beside_one_another_where_each_has_a_gpu(tmp_path: Path) -> None:
    workers = LocalWorkers(context_of(tmp_path), 8, ("GPU-a", "GPU-b"))
    assert workers.sizes == {"torch": 2, "tvm": 8}
    assert not workers.trains_alone
    asked = {"call": "os:getenv", "arguments": {"key": VARIABLE}}
    with workers.start(), workers.worker("torch") as one, workers.worker("torch") as other:
        assert [one.request(asked), other.request(asked)] == ["GPU-a", "GPU-b"]


def test_a_single_gpu_is_nobodys_in_particular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    workers = LocalWorkers(context_of(tmp_path), 8, ("GPU-a",))
    assert workers.sizes == {"torch": 1, "tvm": 8}
    assert workers.trains_alone
    with workers.start(), workers.worker("torch") as worker:
        assert worker.request({"call": "os:getenv", "arguments": {"key": VARIABLE}}) is None


@pytest.mark.slow
def test_a_study_with_several_jobs_is_that_of_any_number(undisturbed: Path, tmp_path: Path) -> None:
    path, workspaces = undisturbed / "small.toml", (undisturbed / "workspace", tmp_path)
    summary = explorer.run(path, tmp_path, jobs=3, observer=studies.Events())
    assert (summary.complete, summary.failed) == (4, 0)
    counted = {each.stage: each.distinct for each in explorer.count(path)}
    executed = studies.executions(tmp_path)
    assert executed.pop("measure") >= 2 * counted["measure"]
    assert executed == {stage: times for stage, times in counted.items() if stage != "measure"} | {"control": 1}
    frames = [explorer.frame(workspace).set_index("configuration_id").sort_index() for workspace in workspaces]
    same = ["size_bytes", "macs", "train_key", "compress_key", "build_key", "measure_key"]
    assert frames[0][same].equals(frames[1][same])


@pytest.mark.parametrize("jobs", [0, -2])
@pytest.mark.parametrize("command", ["run", "grid"])
def test_no_jobs_are_one_sentence_and_exit_code_2(
    command: str, jobs: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [command, str(studies.write_space(tmp_path)), "--jobs", str(jobs), "--workspace", str(tmp_path / "w")]
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"error: jobs {jobs} is below 1\n"
    assert not (tmp_path / "w").exists()


def test_an_engine_that_counts_cores_itself_takes_no_jobs(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="engine ray takes no jobs: its cores say how many stages run at once"):
        explorer.evaluate(studies.write_space(tmp_path), {"model": "resnet18"}, tmp_path / "w", engine="ray", jobs=2)
    assert not (tmp_path / "w").exists()
