from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from explorer.core.errors import ExplorerError
from explorer.fronts import certainty
from explorer.results import export
from explorer.results.across_devices import comparison
from explorer.results.across_devices.comparison import BEYOND, OFF, ON, TIED, Comparison
from explorer.space.limits import Limit
from tests.explorer.frames import complete, failed, frame_of
from tests.explorer.results.across_devices.drawn import OBJECTIVES, frames

FEWER = settings(max_examples=settings().max_examples // 2)  # each takes 0.2 s
PRUNED: dict[str, Any] = {"compression": "channel_pruning", "ratio": 0.5, "channel_multiple": "vector"}
# direct is the fastest on big, gemm on little; the pruned stack ran on big alone, and failed on little.
FRAME = frame_of(
    complete(0, 0.95, 1.0, algorithm="direct", device="big"),
    complete(1, 0.95, 2.0, algorithm="gemm", device="big"),
    complete(2, 0.90, 0.5, **PRUNED, device="big"),
    complete(3, 0.95, 6.0, algorithm="direct", device="little"),
    complete(4, 0.95, 4.0, algorithm="gemm", device="little"),
    failed(5, **PRUNED, device="little"),
    complete(6, 0.94, 4.04, algorithm="winograd", device="little"),
)


def with_more(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.concat([FRAME, frame_of(*rows)], ignore_index=True)


def compared(frame: pd.DataFrame, *limits: Limit, device: str | None = None) -> Comparison:
    return comparison.compare(frame, certainty.front_with_ties(frame, OBJECTIVES, limits), limits, device)


def rows(frame: pd.DataFrame, *limits: Limit) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = export.rows(compared(frame, *limits).rows)
    return found


def test_each_stack_of_a_front_is_followed_on_every_device() -> None:
    found = [(row["front_of"], row["device"], row["number"], row["state"]) for row in rows(FRAME)]
    assert found == [
        ("big", "big", 0, "complete"),
        ("big", "little", 3, "complete"),
        ("big", "big", 2, "complete"),
        ("big", "little", 5, "failed"),
        ("little", "little", 4, "complete"),
        ("little", "big", 1, "complete"),
    ]


def test_the_factor_is_to_the_fastest_that_is_at_least_as_accurate() -> None:
    there = [row for row in rows(FRAME) if row["front_of"] != row["device"]]
    assert [(row["standing"], row["factor"], row["fastest"]) for row in there] == [
        (OFF, 1.5, 4),
        (None, None, None),
        (OFF, 2.0, 0),
    ]
    assert there[0]["factor_low"] < 1.5 < there[0]["factor_high"]
    assert (there[1]["latency_ms"], there[1]["accuracy"]) == (None, None), "it failed there"


def test_a_stack_may_tie_with_the_front_elsewhere() -> None:
    here = complete(7, 0.94, 0.9, algorithm="winograd", device="big")
    (row,) = (row for row in rows(with_more(here)) if row["number"] == 6)
    assert row["standing"] == TIED
    assert 0.05 < row["front_probability"] < 0.95
    assert row["factor"] == pytest.approx(1.01)
    assert row["factor_low"] < 1 < row["factor_high"]


def test_others_are_compared_with_if_they_keep_the_limits_and_take_as_many_images() -> None:
    batch = complete(7, 0.99, 1.0, batch=8, device="little")
    small = {**complete(8, 0.99, 0.1, 9000, threads=2, device="little")}
    frame = with_more(batch, small)
    (row,) = (row for row in rows(frame, Limit("size_bytes", "<=", 5000.0)) if row["number"] == 3)
    assert (row["factor"], row["fastest"]) == (1.5, 4)
    limited = rows(FRAME, Limit("latency_ms", "<=", 5.0))
    (row,) = (row for row in limited if row["number"] == 3)
    assert row["standing"] == BEYOND


@FEWER
@given(frames())
def test_a_front_costs_nothing_at_home_and_no_factor_is_below_1(frame: pd.DataFrame) -> None:
    found = compared(frame).rows
    home = found[found["front_of"] == found["device"]]
    assert (home["standing"] == ON).all()
    assert (home["factor"] == 1).all()
    measured = found[found["state"] == "complete"]
    assert (measured["factor"] >= 1).all()
    assert (measured["factor_low"] <= measured["factor"]).all()
    assert (measured["factor_high"] >= measured["factor"]).all()
    for row in export.rows(measured):
        there = frame[(frame["device"] == row["device"]) & (frame["accuracy"] >= row["accuracy"])]
        assert row["latency_ms"] == pytest.approx(row["factor"] * there["latency_ms"].min())
    assert (found[found["state"] != "complete"]["latency_ms"].isna()).all()


@FEWER
@given(frames())
def test_every_stack_of_every_front_is_there_once_for_each_device(frame: pd.DataFrame) -> None:
    found = compared(frame)
    front = certainty.front_with_ties(frame, OBJECTIVES)
    front = front[~front["tied"]]
    home = found.rows[found.rows["front_of"] == found.rows["device"]]
    assert home["number"].tolist() == front["number"].tolist()
    assert len(found.rows) == len(found.devices) * len(front)


def test_the_choices_are_told_where_the_fronts_differ_and_whether_they_were_measured() -> None:
    found = compared(FRAME).choices
    assert set(found) == {"compression", "ratio", "channel_multiple", "algorithm"}
    assert found["algorithm"]["big"].on_front == {"direct": 2}
    assert found["algorithm"]["little"].on_front == {"gemm": 1}
    assert found["algorithm"]["little"].not_measured == ()
    assert found["compression"]["big"].on_front == {"channel_pruning": 1, "none": 1}
    assert found["compression"]["little"].not_measured == ("channel_pruning",)
    assert found["channel_multiple"]["little"].on_front == {}


def test_a_stack_on_several_devices_at_once_is_on_a_device_of_its_own() -> None:
    both = complete(7, 0.95, 6.0, algorithm="direct", device="big+little")
    found = compared(with_more(both))
    assert found.devices == ("big", "big+little", "little")
    assert len(found.rows) == 3 * 4


def test_the_front_of_one_device_is_followed_alone() -> None:
    found = compared(FRAME, device="little")
    assert found.fronts == ("little",)
    assert found.rows["number"].tolist() == [4, 1]
    assert "algorithm" in found.choices


def test_one_device_alone_cannot_be_compared() -> None:
    with pytest.raises(ExplorerError, match="all trials have run on big; a comparison needs"):
        compared(FRAME[FRAME["device"] == "big"])


def test_without_a_complete_trial_there_is_nothing_to_compare() -> None:
    found = compared(frame_of(failed(0), failed(1, device="board")))
    assert (len(found.rows), found.choices) == (0, {})
    assert found.as_dict()["stacks"] == []


@FEWER
@given(frames())
def test_the_comparison_is_json(frame: pd.DataFrame) -> None:
    plain = compared(frame).as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
