"""THE LINE: its stages in order, failures as values, a latency measured once, and several devices in one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement.sessions import Estimate
from explorer.core.settings import Settings
from explorer.line import contracts
from explorer.line.stage import A, P, Stage
from explorer.line.trials import trial
from explorer.workspace.database.records import Record
from tests.explorer.noting import NotingEngine

PLAIN = Configuration("digits", "resnet18")
WHOLE = Configuration(
    "digits", "resnet18", compression="int8", algorithm="auto", tuning_trials=8, tuner="template", device="board"
)


class Failing(NotingEngine):
    """Raises an error where it is asked for a stage."""

    def __init__(self, stage: str, error: Exception) -> None:
        super().__init__()
        self.failing, self.error = stage, error

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        if stage.name == self.failing:
            raise self.error
        return super().run(stage, equivalent)

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        if device == self.failing:
            raise self.error
        return super().measure(stage, device)


@pytest.mark.parametrize(
    ("c", "names"),
    [
        (PLAIN, "data train compress lower build evaluate measure"),
        # For another target it is compiled for this machine as well, to be evaluated.
        (WHOLE, "data train compress quantize plan select lower tune build build confirm lower build evaluate measure"),
    ],
)
def test_stages_are_asked_for_in_order_and_only_those_that_the_stack_needs(c: Configuration, names: str) -> None:
    engine = NotingEngine()
    record = trial.run(c, Settings(), engine)
    assert isinstance(record, Record)
    assert " ".join(stage.name for stage in engine.stages) == names
    assert record.values["dtype"] == c.dtype
    assert record.values["measure_key"] == engine.stage("measure").key


def test_a_failure_is_a_value_and_ends_the_line() -> None:
    failure = Failure("compress", "unsupported", "it lost track", "log")
    engine = Failing("compress", StageFailed(failure))
    assert trial.run(PLAIN, Settings(), engine) == failure
    assert [stage.name for stage in engine.stages] == ["data", "train"]


def test_a_bug_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        trial.run(PLAIN, Settings(), Failing("lower", ZeroDivisionError()))


def test_a_failure_names_the_device() -> None:
    c = Configuration("digits", "resnet18", device="left+right")
    engine = Failing("right", StageFailed(Failure("measure", "device", "it is gone")))
    assert trial.run(c, Settings(), engine) == Failure("measure", "device", "on right: it is gone")


def test_each_of_several_devices_is_on_record() -> None:
    record = trial.run(Configuration("digits", "resnet18", device="local+board"), Settings(), NotingEngine())
    assert isinstance(record, Record)
    assert {"latency_ms", "latency_ms on local", "latency_ms on board", "measure_key on board"} <= record.values.keys()
    assert record.values["build_key on local"] != record.values["build_key on board"]
    alone = trial.run(PLAIN, Settings(), NotingEngine())
    assert isinstance(alone, Record)
    assert not [name for name in alone.values if " on " in name]


def test_a_latency_that_the_screen_saw_is_not_measured_again() -> None:
    class Patient:
        def why_not(self, configuration: Configuration, known: Mapping[str, object]) -> str | None:
            return None

    engine = NotingEngine()
    pruned = Configuration("digits", "resnet18", compression="channel_pruning", ratio=0.5, channel_multiple=8)
    record = trial.run(pruned, Settings(), engine, Patient())
    assert isinstance(record, Record)
    assert record.values["measure_key"] == engine.stage("measure").key
    assert [stage.name for stage in engine.stages].count("compress") == 2
