"""Records of one stack on several devices: the worst in each quantity counts, and failures name their device."""

from __future__ import annotations

import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, StageFailed
from explorer.line.several_devices import naming, together
from explorer.workspace.records import Record
from tests.explorer.frames import recorded


def test_the_worst_device_counts_in_every_quantity_and_each_is_on_record() -> None:
    both = together({"a": recorded(0.9, 2.0, 30, "x"), "b": recorded(0.8, 1.0, 40, "y")}).values
    assert (both["accuracy"], both["accuracy_low"], both["accuracy_high"]) == (0.8, 0.8 - 0.1, 0.8 + 0.1)
    assert (both["latency_ms"], both["latency_low_ms"], both["latency_high_ms"]) == (2.0, 1.9, 2.1)
    assert (both["size_bytes"], both["macs"], both["build_key"]) == (40, 5, "x")
    assert (both["latency_ms on a"], both["latency_ms on b"], both["latency_low_ms on b"]) == (2.0, 1.0, 0.9)
    assert (both["accuracy on a"], both["size_bytes on a"], both["build_key on b"]) == (0.9, 30, "y")


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
