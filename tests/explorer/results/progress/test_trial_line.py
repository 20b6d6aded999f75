from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from explorer.core.configuration import Configuration
from explorer.core.errors import DOMINATED, Failure
from explorer.results.progress.trial_line import brief, trial_line
from explorer.workspace.database.records import Record

STACK = Configuration(
    "fashion_mnist", "mobilenetv2", 0.25, "channel_pruning+int8", 0.75, "vector", None, "spatial_pack",
    tuning_trials=640, tuner="template", threads=2, device="rpi4",
)  # fmt: skip
RECORD = Record(
    {
        "accuracy": 0.9733, "accuracy_low": 0.96, "accuracy_high": 0.98,
        "latency_ms": 1.234, "latency_low_ms": 1.221, "latency_high_ms": 1.25, "size_bytes": 345_678,
    }
)  # fmt: skip
FAILURE = Failure("measure", "run", "the worker ended with signal 9 while it measured the network on the device rpi4")
WHOLE = (
    "  [12/36] trial 12  fashion_mnist, mobilenetv2 x0.25, channel_pruning+int8 0.75 in multiples of vector, "
    "spatial_pack dense, tuned by template for 640 trials, 2 threads, rpi4  "
)


@pytest.mark.parametrize("width", [None, 400])
def test_a_line_that_fits_is_whole(width: int | None) -> None:
    line = trial_line("[12/36]", 12, STACK, RECORD, width)
    assert line == f"{WHOLE}accuracy 0.9733  1.234 ms [1.221, 1.250]  345,678 B"
    assert trial_line("[12/36]", 12, STACK, FAILURE, width) == f"{WHOLE}failed in measure: {FAILURE.message}"


@pytest.mark.parametrize(("width", "latency"), [(None, "1.234 ms emulated ["), (70, "1.234 ms emulated")])
def test_the_latency_of_an_emulated_device_says_so(width: int | None, latency: str) -> None:
    marked = Record({**RECORD.values, "latency_emulated": True})
    assert latency in trial_line("[12/36]", 12, STACK, marked, width)


def test_a_batch_is_named_where_there_is_one() -> None:
    assert "spatial_pack dense, batch 16, tuned by" in brief(replace(STACK, batch=16))
    assert " batch 16 " in trial_line("[12/36]", 12, Configuration("digits", "resnet18", batch=16), RECORD, 110)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            120,
            "  [12/36] trial 12  mobilenet… channel_p… 0.75 spatial_p… template  "
            "accuracy 0.9733  1.234 ms [1.221, 1.250]  345,678 B",
        ),
        (70, "  [12/36] trial 12  mobi… chan… 0.75 spat…  97.33 %  1.234 ms  346 kB"),
        (60, "  [12/36] trial 12  mob… cha… 0.75 spa…  97.33 %  1.234 ms"),
    ],
)
def test_a_narrow_terminal_keeps_what_tells_most(width: int, line: str) -> None:
    assert trial_line("[12/36]", 12, STACK, RECORD, width) == line


def test_a_failure_keeps_its_stage_and_the_beginning_of_its_message() -> None:
    line = trial_line("[12/36]", 12, STACK, FAILURE, 80)
    assert line == "  [12/36] trial 12  mob… cha… 0.75 spa…  failed in measure: the worker ended wi…"
    skipped = Failure("compress", DOMINATED, "not trained, since trial 3 is better: 98.00%, 1.000 ms, 1,000 B")
    assert trial_line("[12/36]", 12, STACK, skipped, 80).endswith("spa…  not trained, since trial 3 is better:…")


def test_defaults_are_left_out_first() -> None:
    plain = Configuration("digits", "resnet18")
    line = trial_line("[1/2]", 1, plain, RECORD, 100)
    assert brief(plain) not in line
    assert line == "    [1/2] trial 1   resnet18 direct digits  accuracy 0.9733  1.234 ms [1.221, 1.250]  345,678 B"


@given(
    st.integers(1, 250),
    st.sampled_from([RECORD, FAILURE]),
    st.sampled_from([STACK, Configuration("digits", "resnet18"), replace(STACK, model="ネット:網を作る関数")]),
    st.sampled_from([0, 99999]),
)
def test_no_line_is_wider_than_the_terminal(
    width: int, outcome: Record | Failure, stack: Configuration, number: int
) -> None:
    assert cell_len(trial_line("[1/100000]", number, stack, outcome, width)) <= width
