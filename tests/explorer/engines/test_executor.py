"""Which trainings have all cores, and what becomes of an execution that fails."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.errors import DeviceError, Failure, StageFailed
from explorer.core.settings import AnswerSettings, Settings
from explorer.engines import executor
from explorer.engines.executor import Executor, trains_long
from explorer.engines.workers import ALONE
from explorer.line.stage import A, P, Stage
from explorer.line.trials import dry_run, trial
from tests.scripted_workers import ScriptedWorkers, context_of
from tests.typed_stages import data, training


def test_only_what_trains_for_long_has_all_cores() -> None:
    assert not trains_long(training(1078, 8, 15)), "the digits of the quickstart"
    assert trains_long(training(40_000, 32, 15))
    assert trains_long(training(2_000, 224, 4))
    assert not trains_long(training(40_000, 32, 0))
    assert trains_long(training(0, 224, 0, validation=5_000)), "answers alone, of as many images as ImageNet has"
    some = AnswerSettings(answered_images=500, answered_seed=0)
    assert not trains_long(training(0, 224, 0, validation=5_000, answered=some))
    assert not trains_long(data())


def test_a_network_that_is_not_fine_tuned_leaves_the_cores_to_others() -> None:
    """Its images are only evaluated, however many they are."""
    asked: list[Stage] = []

    class Engine(dry_run.CountingEngine):
        def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
            asked.append(stage)
            made = super().run(stage, equivalent)
            if stage.name != "data":
                return made
            return replace(made, values=cast(V, {"train": 40_000, "shape": [3, 32, 32]}))

    for compression in ("none", "float16", "channel_pruning"):
        ratio, multiple = (0.5, 8) if compression == "channel_pruning" else (None, None)
        network = Configuration(
            "cifar10", "resnet18", compression=compression, ratio=ratio, channel_multiple=multiple, device="local"
        )
        trial.run(network, Settings(), Engine({}))
    long = [stage.parameters.as_json().get("compression", "train") for stage in asked if trains_long(stage)]
    assert long == ["train", "train", "train", "channel_pruning"]


def test_a_long_training_has_all_cores_unless_the_workers_have_a_gpu_each(tmp_path: Path) -> None:
    long = training(40_000, 32, 15)
    for alone, kind in ((True, ALONE), (False, "torch")):
        assert Executor(context_of(tmp_path), ScriptedWorkers(trains_alone=alone), threading.Event()).kind(long) == kind
    assert Executor(context_of(tmp_path), ScriptedWorkers(), threading.Event()).kind(training(1078, 8, 15)) == "torch"


@pytest.mark.parametrize(("kind", "kept"), [("crash", True), ("timeout", True), ("exception", False)])
def test_what_is_cut_off_is_kept_to_go_on_from(kind: str, kept: bool, tmp_path: Path) -> None:
    context = context_of(tmp_path)
    workers = ScriptedWorkers()
    workers.answers["data"] = StageFailed(Failure("data", kind, "it is gone"))
    own = Executor(context, workers, threading.Event())
    scratch = context.store.scratch("key")
    scratch.mkdir(parents=True)
    with pytest.raises(StageFailed, match="it is gone"):
        own.execute(data(), "key", tmp_path)
    assert scratch.exists() == kept
    assert workers.renewed == kept, "what ails the process shall ail no other request"
    executions = context.records.executions.frame()
    assert executions["key"].to_list() == ["key"]
    assert executions["failure"].to_list()[0]["kind"] == kind


class Attempts:
    """Fails in one way after another, and returns the number of its calls once it does not."""

    def __init__(self, *failures: str | Exception) -> None:
        self._failures = [
            StageFailed(Failure("data", failure, "it failed")) if isinstance(failure, str) else failure
            for failure in failures
        ]
        self.recovered: list[str] = []
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        return self.calls

    def recover(self, failure: Failure) -> None:
        self.recovered.append(failure.kind)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Executor:
    """Return an executor that waits for nothing."""
    monkeypatch.setattr(executor, "PAUSES", (0.0, 0.0))
    return Executor(context_of(tmp_path), ScriptedWorkers(), threading.Event())


@pytest.mark.parametrize(
    ("failures", "kinds"),
    [
        ((), []),
        (("crash",), ["crash"]),
        (("out_of_memory", OSError(errno.ENOSPC, "full")), ["out_of_memory", "space"]),
        ((DeviceError("gone"), "timeout"), ["device", "timeout"]),
    ],
)
def test_what_fails_by_its_surroundings_is_attempted_again(
    failures: tuple[str | Exception, ...], kinds: list[str], patient: Executor
) -> None:
    attempts = Attempts(*failures)
    assert patient.attempted("data", "key", attempts, attempts.recover) == 1 + len(failures)
    assert attempts.recovered == kinds
    patient.refuse_what_failed("key")


@pytest.mark.parametrize(
    ("failures", "calls", "kind"),
    [
        (("wrong_output", "crash"), 1, "wrong_output"),
        (("crash", "exception"), 2, "exception"),
        (("crash", "crash", "space", "never"), 3, "space"),
        (("stopped",), 1, None),
    ],
)
def test_what_fails_for_good_is_remembered_in_this_run(
    failures: tuple[str, ...], calls: int, kind: str | None, patient: Executor
) -> None:
    attempts = Attempts(*failures)
    with pytest.raises(StageFailed):
        patient.attempted("data", "key", attempts)
    assert attempts.calls == calls
    patient.refuse_what_failed("another key")
    if kind is None:
        patient.refuse_what_failed("key")
        return
    with pytest.raises(StageFailed) as refused:
        patient.refuse_what_failed("key")
    assert refused.value.failure.kind == kind


def test_attempts_are_counted_from_the_last_progress(patient: Executor) -> None:
    attempts = Attempts(*["device"] * 7)
    assert patient.attempted("tune", "key", attempts, progress=lambda: attempts.calls // 2) == 8
    stuck = Attempts(*["device"] * 7)
    with pytest.raises(StageFailed):
        patient.attempted("tune", "key", stuck, progress=lambda: stuck.calls // 6)
    assert stuck.calls == 3


def test_a_defect_of_the_explorer_is_no_failure(patient: Executor) -> None:
    with pytest.raises(FileNotFoundError):
        patient.attempted("data", "key", Attempts(FileNotFoundError(errno.ENOENT, "a defect")))


def test_nothing_is_attempted_any_more_once_the_engine_stops(tmp_path: Path) -> None:
    stopping, attempts = threading.Event(), Attempts("crash")
    stopping.set()
    with pytest.raises(StageFailed):
        Executor(context_of(tmp_path), ScriptedWorkers(), stopping).attempted("data", "key", attempts)
    assert attempts.calls == 1


def test_an_execution_that_the_explorer_ends_itself_is_no_failure(tmp_path: Path) -> None:
    context, workers = context_of(tmp_path), ScriptedWorkers()
    workers.answers["data"] = StageFailed(Failure("data", "stopped", "the explorer was stopped"))
    own = Executor(context, workers, threading.Event())
    scratch = context.store.scratch("key")
    scratch.mkdir(parents=True)
    with pytest.raises(StageFailed, match="stopped"):
        own.execute(data(), "key", tmp_path)
    own.refuse_what_failed("key")
    assert scratch.exists()
    assert context.records.executions.frame().empty
