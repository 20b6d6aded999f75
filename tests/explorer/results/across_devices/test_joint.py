from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given

from explorer.core.errors import ExplorerError
from explorer.results.across_devices.joint import with_joint
from explorer.results.across_devices.same_stack import OTHER_AXES
from explorer.results.answers import best_stack
from explorer.results.answers.goals import Goals
from tests.explorer.frames import complete, disturbed, failed, frame_of
from tests.explorer.results.across_devices.drawn import frames

FRAME = frame_of(
    complete(0, 0.95, 1.0, 1000, algorithm="direct", device="big"),
    complete(1, 0.95, 2.0, algorithm="gemm", device="big"),
    complete(2, 0.97, 0.5, algorithm="winograd", device="big"),
    complete(3, 0.94, 6.0, 3000, algorithm="direct", device="little"),
    complete(4, 0.95, 4.0, algorithm="gemm", device="little"),
    failed(5, algorithm="winograd", device="little"),
    complete(6, 0.99, 0.1, algorithm="spatial_pack", device="little"),
)


def test_a_stack_counts_by_the_worse_device_and_has_the_latency_on_each() -> None:
    rows: list[dict[str, Any]] = with_joint(FRAME, "big+little").to_dict("records")  # type: ignore[assignment]
    assert [(row["algorithm"], row["state"], row["device"]) for row in rows] == [
        ("direct", "complete", "big+little"),
        ("gemm", "complete", "big+little"),
        ("winograd", "failed", "big+little"),
    ]
    first = rows[0]
    assert (first["number"], first["latency_ms"], first["accuracy"], first["size_bytes"]) == (3, 6.0, 0.94, 3000)
    assert (first["number on big"], first["latency_ms on big"], first["latency_ms on little"]) == (0, 1.0, 6.0)


def test_the_most_accurate_that_keeps_the_budget_on_both_is_the_answer() -> None:
    answer = best_stack.best(with_joint(FRAME, "big+little"), "big+little", Goals(5.0))
    assert answer.stack is not None
    assert (answer.stack.number, answer.considered, answer.failed) == (4, 2, 1)
    assert {name: each.number for name, each in answer.stack.on_each.items()} == {"big": 1, "little": 4}
    assert best_stack.best(with_joint(FRAME, "big+little"), "big+little", Goals(3.0)).stack is None, (
        "which gemm keeps on big"
    )


def test_a_choice_of_the_study_and_unknown_devices_leave_the_frame_as_it_is() -> None:
    both = pd.concat([FRAME, frame_of(complete(7, 0.9, 1.0, device="big+little"))], ignore_index=True)
    for frame, device in ((both, "big+little"), (FRAME, "big"), (FRAME, "bog"), (FRAME, "x+y"), (both[:0], "big")):
        assert with_joint(frame, device) is frame


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("big+litle", "no trial has run on device 'litle'; allowed: big, little; did you mean 'little'?"),
        ("big+big", "device big\\+big names big twice"),
    ],
)
def test_devices_that_cannot_be_joined_are_errors(device: str, message: str) -> None:
    with pytest.raises(ExplorerError, match=message.replace("?", "\\?")):
        with_joint(FRAME, device)


def test_stacks_that_no_two_devices_share_are_an_error() -> None:
    with pytest.raises(ExplorerError, match="no stack was tried on each of big and little"):
        with_joint(FRAME[FRAME["number"].isin([0, 4])], "big+little")


def test_the_device_whose_latency_is_disturbed_is_named() -> None:
    rows = with_joint(disturbed(FRAME, 0, "no session was quiet"), "big+little")
    assert rows["latency_disturbed"].tolist()[0] == "on big: no session was quiet"
    assert rows["latency_disturbed"].isna().tolist()[1:] == [True, True]


@given(frames())
def test_the_answer_keeps_the_budget_on_both_and_no_other_that_does_is_more_accurate(frame: pd.DataFrame) -> None:
    try:
        rows = with_joint(frame, "a+b")
    except ExplorerError:
        pytest.fail("drawn studies have a stack on both")
    answer = best_stack.best(rows, "a+b", Goals(1.5))
    fits = frame[(frame["state"] == "complete") & (frame["latency_ms"] <= 1.5) & frame["device"].isin(["a", "b"])]
    keeping = [group for _, group in fits.groupby(list(OTHER_AXES), dropna=False) if len(group) == 2]
    if answer.stack is None:
        assert keeping == []
    else:
        assert answer.stack.accuracy == max(group["accuracy"].min() for group in keeping)
        assert all(each.latency.value <= 1.5 for each in answer.stack.on_each.values())
