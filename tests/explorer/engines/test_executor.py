"""Which trainings have all cores, and what becomes of an execution that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, StageFailed
from explorer.core.settings import AnswerSettings, Settings
from explorer.engines.executor import Executor, trains_long
from explorer.engines.workers import ALONE
from explorer.line import dry_run, trial
from explorer.line.stage import A, P, Stage
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
        assert Executor(context_of(tmp_path), ScriptedWorkers(trains_alone=alone)).kind(long) == kind
    assert Executor(context_of(tmp_path), ScriptedWorkers()).kind(training(1078, 8, 15)) == "torch"


@pytest.mark.parametrize(("kind", "kept"), [("crash", True), ("timeout", True), ("exception", False)])
def test_what_is_cut_off_is_kept_to_go_on_from(kind: str, kept: bool, tmp_path: Path) -> None:
    context = context_of(tmp_path)
    workers = ScriptedWorkers()
    workers.answers["data"] = StageFailed(Failure("data", kind, "it is gone"))
    executor = Executor(context, workers)
    scratch = context.store.scratch("key")
    scratch.mkdir(parents=True)
    with pytest.raises(StageFailed, match="it is gone"):
        executor.execute(data(), "key", tmp_path)
    assert scratch.exists() == kept
    with pytest.raises(StageFailed, match="it is gone"):
        executor.refuse_what_failed("key")
    executor.refuse_what_failed("another key")
    executions = context.records.executions()
    assert executions["key"].to_list() == ["key"]
    assert executions["failure"].to_list()[0]["kind"] == kind


def test_an_execution_that_the_explorer_ends_itself_is_no_failure(tmp_path: Path) -> None:
    context, workers = context_of(tmp_path), ScriptedWorkers()
    workers.answers["data"] = StageFailed(Failure("data", "stopped", "the explorer was stopped"))
    executor = Executor(context, workers)
    scratch = context.store.scratch("key")
    scratch.mkdir(parents=True)
    with pytest.raises(StageFailed, match="stopped"):
        executor.execute(data(), "key", tmp_path)
    executor.refuse_what_failed("key")
    assert scratch.exists()
    assert context.records.executions().empty
