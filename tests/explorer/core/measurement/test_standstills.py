"""Samples that a process stood still in: told from slow ones, and taken again."""

from __future__ import annotations

import pytest

from explorer.core.measurement import clocks, standstills
from explorer.core.measurement.standstills import Unbroken, broken, unbroken


def test_a_run_of_seconds_among_short_ones_is_none() -> None:
    assert broken([0.5, 0.6, 2000.0, 0.5]) == [2]
    assert unbroken([0.5, 0.6, 2000.0, 0.5]) == [0.5, 0.6, 0.5]
    assert broken([0.5, 90.0, 0.6]) == [], "another process may have had the core for that long"
    assert broken([700.0, 2700.0, 710.0]) == [1]
    assert broken([700.0, 1900.0, 710.0]) == [], "it is not three times as long"
    assert broken([2000.0, 0.5]) == [0]
    assert broken([2000.0]) == [], "nothing tells"
    assert broken([2000.0], [0.5]) == [0]
    assert broken([20.5], [0.5], runs=100) == [0], "the mean of runs; one of them took two seconds"
    assert broken([]) == []


def test_a_sample_is_taken_again_until_nothing_stood_still() -> None:
    script = [[0.5, 0.6], [0.5, 2000.0], [3000.0, 0.5], [0.6, 0.5], [0.5, 0.5]]
    sampling = Unbroken()
    assert sampling.take(lambda: script.pop(0)) == [0.5, 0.6]
    assert sampling.take(lambda: script.pop(0)) == [0.6, 0.5]
    assert sampling.again == 2
    assert script == [[0.5, 0.5]]


def test_what_has_lasted_is_a_sample_in_the_end() -> None:
    sampling = Unbroken()
    sampling.take(lambda: [0.5, 0.5, 0.5])
    assert sampling.take(lambda: [900.0]) == [900.0]
    assert sampling.again == standstills.MOST_AGAIN


def test_a_sample_across_a_suspended_machine_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    since = iter([0.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr(clocks, "suspended", lambda: next(since))
    script = [[0.5], [0.6]]
    assert Unbroken().take(lambda: script.pop(0)) == [0.6]
