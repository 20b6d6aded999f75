"""Tuned libraries against the rules': confirmed only if they are surely faster, by sessions that were quiet."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

import dlas_ops
from dlas_ops.processor.targets import native_target
from dlas_ops.tuning import task_extraction
from explorer.core.artifact import Artifact
from explorer.core.measurement.sessions import Readings
from explorer.engines.engine import Engine
from explorer.line import contracts
from explorer.line.contracts.confirm import Parameters, Parents, Session
from explorer.line.contracts.on_device import Address
from explorer.line.stages import confirm
from explorer.line.stages.tune import SCHEDULED
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies, torch_stages
from tests.conftest import Once
from tests.explorer.simulated_device import SimulatedDevice
from tests.typed_stages import made

ADDRESS = Address(tracker="10.0.0.1:9190", key="board")
PARAMETERS = Parameters(1, samples=10, sample_ms=0.2, warmup_ms=0.1, device="board", address=ADDRESS)
NO_STATE: Any = {"before": None, "after": None, "tvm": ""}


def write_slow(lowered: Path, out: Path) -> int:
    """Write what stage ``tune`` does, with schedules that run a loop at a time; return the number of layers."""
    target = tvm.target.Target(native_target())
    tasks = task_extraction.tasks(dlas_ops.load(lowered), "template", target)
    programs = {name: task.function.with_attr("global_symbol", name) for task in tasks for name in task.names}
    (out / SCHEDULED).write_text(tvm.ir.save_json(tvm.IRModule(programs)))
    return len(tasks)


@pytest.fixture(scope="session")
def slow(once: Once, lowered: Artifact) -> Artifact:
    """A library of the lowered network whose convolutions take many times as long."""

    def make(folder: Path) -> Artifact:
        assert write_slow(lowered.path, folder)
        tuned: Artifact = Artifact("tune", "slow", folder)
        target = {"target": native_target()}
        return replace(torch_stages.execute("build", folder, target, lower=lowered, tune=tuned), key="slow")

    return once.made("slow library", make)


def test_what_is_faster_is_confirmed_and_what_is_slower_is_not(
    small: Artifact,
    lowered: Artifact,
    built: Artifact,
    slow: Artifact,
    control: Artifact,
    leased: list[tuple[object, ...]],
    unlimited: list[str],
    tmp_path: Path,
) -> None:
    faster = confirm.run(PARAMETERS, Parents(small, lowered, untuned=slow, tuned=built, control=control), tmp_path)
    assert leased[:2] == [(ADDRESS.tracker, ADDRESS.key, confirm.SESSION_SECONDS), (1, "confirm", ADDRESS.key)]
    assert len(leased) == 2 * len(faster["sessions"])
    slower = confirm.run(PARAMETERS, Parents(small, lowered, untuned=built, tuned=slow, control=control), tmp_path)
    for values in (faster, slower):
        assert confirm.LEAST <= len(values["sessions"]) <= confirm.MOST
        assert 1 <= values["counted"] <= len(values["sessions"])
        assert values["no_control"] == ""
        for session in values["sessions"]:
            pairs = list(zip(session["tuned_ms"], session["untuned_ms"], strict=True))
            assert len(pairs) >= PARAMETERS.samples
            ratios = [one / other for one, other in pairs]
            assert session["ratio"] == median([ratios[index] for index in session["quiet"]] or ratios)
            assert len(session["readings"]["arithmetic_ms"]) == len(pairs) + 1
            assert session["typical"][0] is not None
            assert session["state"]["before"] is not None
    assert faster["faster"]
    assert faster["ratio_low"] <= faster["ratio"] <= faster["ratio_high"] < 1
    assert not slower["faster"]
    assert slower["ratio_high"] > 1
    assert list(tmp_path.iterdir()) == []
    assert unlimited == []


def test_without_a_control_every_session_counts(
    small: Artifact, lowered: Artifact, built: Artifact, slow: Artifact, leased: list[object], tmp_path: Path
) -> None:
    values = confirm.run(PARAMETERS, Parents(small, lowered, untuned=slow, tuned=built), tmp_path)
    assert values["counted"] == len(values["sessions"])
    assert values["faster"]
    assert leased


def session(ratio: float, readings: Readings) -> Session:
    return {
        "ratio": ratio, "tuned_ms": [ratio], "untuned_ms": [1.0], "quiet": [0], "readings": {},
        "typical": list(readings), "disturbed": "", "waited_s": 0.0, "state": NO_STATE,
    }  # fmt: skip


UNKNOWN = Readings()


def run_scripted(sessions: Iterator[Session], parents: Parents, usual: Readings = UNKNOWN) -> Any:
    """Run the stage on `sessions` in place of a device's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confirm, "_session", lambda parameters, parents, tuned_first: (next(sessions), ""))
        return confirm.run(replace(PARAMETERS, usual=usual), parents, Path())


NOTHING = Parents(made("compress"), made("lower"), made("build", "untuned"), made("build", "tuned"))
QUIET, DISTURBED = Readings(0.3, 0.8, 2.0), Readings(0.6, 0.8, 2.0)


def test_a_disturbed_session_is_kept_marked_and_repeated() -> None:
    script = [(5.0, DISTURBED), (0.8, QUIET), (0.81, QUIET), (0.82, QUIET)]
    values = run_scripted(iter([session(*each) for each in script]), NOTHING, QUIET)
    assert [bool(each["disturbed"]) for each in values["sessions"]] == [True, False, False, False]
    assert "arithmetic" in values["sessions"][0]["disturbed"]
    assert (values["counted"], values["ratio"], values["faster"]) == (3, 0.81, True)


def test_what_disturbed_a_session_may_only_be_known_later() -> None:
    """Nothing is known of the device before its first session, which was disturbed all the time."""
    script = [(5.0, DISTURBED), (0.8, QUIET), (0.81, QUIET), (0.82, QUIET)]
    values = run_scripted(iter([session(*each) for each in script]), NOTHING)
    assert (values["counted"], values["ratio"]) == (3, 0.81)


def test_sessions_end_although_none_is_quiet_and_all_of_them_count_then() -> None:
    values = run_scripted((session(0.7, DISTURBED) for _ in range(99)), NOTHING, QUIET)
    assert all(each["disturbed"] for each in values["sessions"])
    assert len(values["sessions"]) == values["counted"] == confirm.MOST


def test_libraries_that_take_as_long_as_each_other_are_not_told_apart() -> None:
    drawn = np.random.default_rng(1)
    values = run_scripted((session(math.exp(drawn.normal(0, 0.01)), QUIET) for _ in range(99)), NOTHING)
    assert not values["faster"]
    assert values["counted"] == confirm.MOST
    assert values["ratio_low"] < 1 < values["ratio_high"]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([0.5, 0.8, 1.25, 2.0]))
def test_a_large_difference_is_found_on_a_device_that_is_disturbed_now_and_then(seed: int, ratio: float) -> None:
    device, noise = SimulatedDevice(seed), np.random.default_rng(seed)
    stack = device.stack()

    def sessions() -> Iterator[Session]:
        for number in range(99):
            readings = device.session(stack, 2.0 * number, Readings()).readings
            yield session(ratio * math.exp(noise.normal(0, 0.01)), readings)

    values = run_scripted(sessions(), NOTHING)
    assert values["faster"] == (ratio < 1)
    assert values["ratio_low"] < values["ratio"] < values["ratio_high"]
    marked = sum(bool(each["disturbed"]) for each in values["sessions"])
    assert values["counted"] == (len(values["sessions"]) - marked or marked)
    assert len(values["sessions"]) <= confirm.MOST


@pytest.mark.slow
@pytest.mark.parametrize("slow_one", ["tuned", "untuned"])
def test_a_stack_has_the_tuned_library_if_it_is_faster_and_else_shares_the_untuned_ones_measurement(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_one: str
) -> None:
    """One of the two libraries is built of schedules that take many times as long, the other one of the rules'."""
    workspace = Workspace(studies.trained(undisturbed / "workspace", tmp_path / "workspace"))
    events = studies.Events()
    store, run, writing = Store(workspace.artifacts), Engine.run, threading.Lock()

    def tune(self: Engine, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        with store.draft() as draft:
            write_slow(stage.parents.lower.path, draft)
            if slow_one == "untuned":
                (draft / SCHEDULED).write_text(tvm.ir.save_json(tvm.IRModule({})))
            return store.publish(stage.name, stage.key, draft, {"layers_faster": 1}, 0.0)

    def built(self: Engine, stage: Any, equivalent: Any = None) -> Any:
        if slow_one == "untuned" and isinstance(stage, contracts.build.Stage) and stage.parents.tune is None:
            with writing:  # both trials ask for this library, and a worker may read what the first one has written
                if not (tmp_path / SCHEDULED).exists():
                    write_slow(stage.parents.lower.path, tmp_path)
            slow: Artifact = Artifact("tune", "slow", tmp_path)
            return run(self, stage, lambda: replace(stage.parents, tune=slow))
        return run(self, stage, equivalent)

    monkeypatch.setattr(Engine, "tune", tune)
    monkeypatch.setattr(Engine, "run", built)
    axes = {"compression": "none", "ratio": None, "threads": 1, "tuning_trials": [0, 4]}
    path = studies.write_space(tmp_path, models=(studies.SMALL,), algorithms=("direct",), axes=axes)
    summary = studies.run(path, workspace.root, events)
    assert (summary.complete, summary.failed) == (2, 0), events.outcomes
    found = Records(workspace.url).complete(space.load(path).name)
    untuned, tuned = (record.values for _, _, record in sorted(found, key=lambda each: each[1].tuning_trials))
    assert tuned["tuned_ratio_low"] < tuned["tuned_ratio"] < tuned["tuned_ratio_high"]
    assert (tuned["tuned_ratio_high"] < 1) == (slow_one == "untuned")
    assert "tuned_ratio" not in untuned
    for name in ("build_key", "measure_key", "latency_ms"):
        assert (tuned[name] == untuned[name]) == (slow_one == "tuned"), name
    counts = studies.executions(workspace.root)
    assert (counts["build"], counts["confirm"], counts["evaluate"]) == (2, 1, 1)
