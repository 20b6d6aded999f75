"""Pairs of stacks have the ratio and the difference that single ones have, and counterparts in every other axis."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given

from explorer.core.measurement.statistics import Interval, ratio_interval
from explorer.results.study_report.pairs import TUNING, alike, axis_codes, pairs
from tests.explorer.frames import complete, frame_of
from tests.explorer.results.study_report.expected import counterpart, key, rows_of
from tests.explorer.results.study_report.studies import FEWER, drawn, evidence, seeds

ENDS = ("latency_ms", "latency_low_ms", "latency_high_ms")


@FEWER
@given(seeds)
def test_each_has_the_ratio_of_its_two_latencies(seed: int) -> None:
    studied = evidence(drawn(seed))
    rows, tuned = studied.complete, studied.complete["tuning_trials"] > 0
    found = pairs(rows, studied.codes, TUNING, tuned, ~tuned).to_dict("records")
    each = rows_of(studied.frame)
    partners = {row["number"]: counterpart(each, row, TUNING, tuning_trials=0) for row in each if row["tuning_trials"]}
    assert {row["number"]: row["base_number"] for row in found} == {
        number: base["number"] for number, base in partners.items() if base
    }
    for row in found:
        own, base = (Interval(*(row[prefix + end] for end in ENDS)) for prefix in ("", "base_"))
        ratio = (row["ratio_of_times"], row["ratio_low"], row["ratio_high"])
        assert ratio == pytest.approx(ratio_interval(own, base))
        below = math.hypot(row["base_accuracy"] - row["base_accuracy_low"], row["accuracy_high"] - row["accuracy"])
        lost = row["base_accuracy"] - row["accuracy"]
        assert (row["accuracy_lost"], row["lost_low"]) == pytest.approx((lost, lost - below))


@FEWER
@given(seeds)
def test_alike_are_stacks_that_are_equal_in_all_other_axes(seed: int) -> None:
    rows = evidence(drawn(seed)).complete
    for but in ((), ("algorithm",), TUNING, ("device", "format")):
        numbers = alike(axis_codes(rows), but)
        keys = [tuple(map(str, key({str(n): v for n, v in row.items()}, but))) for row in rows.to_dict("records")]
        assert len(set(zip(numbers, keys, strict=True))) == len(set(numbers)) == len(set(keys))


def test_words_and_numbers_stand_on_one_axis() -> None:
    pruned: dict[str, Any] = {"compression": "channel_pruning", "ratio": 0.5}
    choices = (8, "vector", 8, None)
    rows = [
        complete(i, 0.9, 1, **(pruned | {"channel_multiple": each} if each else {})) for i, each in enumerate(choices)
    ]
    codes = axis_codes(frame_of(*rows))["channel_multiple"].tolist()
    assert codes[0] == codes[2] != codes[1]
    assert codes[3] == -1
