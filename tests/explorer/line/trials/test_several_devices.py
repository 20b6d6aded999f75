"""Records of one stack on several devices: the worst in each quantity counts, and failures name their device."""

from __future__ import annotations

import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement.sessions import Estimate
from explorer.core.measurement.statistics import Interval
from explorer.line.trials.several_devices import naming, revised, together
from explorer.workspace.database.records import Record
from tests.explorer.frames import recorded


def test_the_worst_device_counts_in_every_quantity_and_each_is_on_record() -> None:
    both = together({"a": recorded(0.9, 2.0, 30, "x"), "b": recorded(0.8, 1.0, 40, "y")}).values
    assert (both["accuracy"], both["accuracy_low"], both["accuracy_high"]) == (0.8, 0.8 - 0.1, 0.8 + 0.1)
    assert (both["latency_ms"], both["latency_low_ms"], both["latency_high_ms"]) == (2.0, 1.9, 2.1)
    assert (both["size_bytes"], both["macs"], both["build_key"]) == (40, 5, "x")
    assert (both["latency_ms on a"], both["latency_ms on b"], both["latency_low_ms on b"]) == (2.0, 1.0, 0.9)
    assert (both["accuracy on a"], both["size_bytes on a"], both["build_key on b"]) == (0.9, 30, "y")


def test_rates_are_worst_where_they_are_least_and_each_quantity_has_its_device() -> None:
    left = {"latency_ms": 2.0, "images_per_second": 500.0, "first_ms": 3.0, "peak_memory_bytes": 9}
    right = {"latency_ms": 1.0, "images_per_second": 1000.0, "first_ms": 4.0, "peak_memory_bytes": 8}
    both = together({"a": Record(left), "b": Record(right)}).values
    assert (both["latency_ms"], both["images_per_second"]) == (2.0, 500.0)
    assert (both["first_ms"], both["peak_memory_bytes"]) == (4.0, 9)
    assert (both["images_per_second on b"], both["first_ms on a"]) == (1000.0, 3.0)
    assert "load_ms" not in both, "an earlier version has not measured it"


def test_later_sessions_revise_every_quantity() -> None:
    c = Configuration("digits", "resnet18", device="a+b")
    keys = {"measure_key on a": "x", "measure_key on b": "y", "latency_disturbed": "a neighbour"}
    known = {
        ("x", "a"): Estimate(Interval(2.0, 1.9, 2.1), 2, beside={"first_ms": Interval(3.0, 2.0, 4.0)}),
        ("y", "b"): Estimate(Interval(1.0, 0.9, 1.1), 3, beside={"first_ms": Interval(9.0, 8.0, 9.5)}),
    }
    found = revised(c, Record(keys), known).values
    assert (found["latency_ms"], found["latency_sessions"], found["measure_key"]) == (2.0, 2, "x")
    assert (found["first_ms"], found["first_low_ms"], found["first_ms on a"]) == (9.0, 8.0, 3.0)
    assert (found["images_per_second"], found["images_per_second on b"]) == (500.0, 1000.0)
    assert "latency_disturbed" not in found


def test_one_emulated_device_marks_the_stack_and_is_named() -> None:
    emulated = Record({**recorded(0.8, 1.0, 40, "y").values, "latency_emulated": True})
    both = together({"a": recorded(0.9, 2.0, 30, "x"), "b": emulated}).values
    assert {name for name in both if name.startswith("latency_emulated")} == {
        "latency_emulated",
        "latency_emulated on b",
    }
    c, interval = Configuration("digits", "resnet18", device="a+b"), Interval(2.0, 1.9, 2.1)
    keys = {"measure_key on a": "x", "measure_key on b": "y"}
    known = {("x", "a"): Estimate(interval, 2, emulated=True), ("y", "b"): Estimate(interval, 2)}
    found = revised(c, Record(keys), known).values
    assert (found["latency_emulated"], found["latency_emulated on a"]) == (True, True)
    assert "latency_emulated on b" not in found


def test_before_a_training_there_is_no_accuracy() -> None:
    def known(latency_ms: float) -> Record:
        values = dict(recorded(0.9, latency_ms, 30, "x").values)
        return Record({name: value for name, value in values.items() if not name.startswith("accuracy")})

    both = together({"a": known(1.0), "b": known(2.0)}).values
    assert (both["latency_ms"], both["latency_ms on a"], both["size_bytes"]) == (2.0, 1.0, 30)
    assert not [name for name in both if name.startswith("accuracy")]


@pytest.mark.parametrize(("device", "message"), [("left+right", "on right: it is gone"), ("right", "it is gone")])
def test_only_of_several_devices_one_is_named(device: str, message: str) -> None:
    failure = Failure("measure", "device", "it is gone", "log")
    with pytest.raises(StageFailed) as failed, naming("right", Configuration("digits", "resnet18", device=device)):
        raise StageFailed(failure)
    assert failed.value.failure == Failure("measure", "device", message, "log")
