from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.bundles.verdict import Verdict
from explorer.core.measurement.statistics import Interval

Times = st.floats(0.01, 1e4)
Intervals = st.tuples(Times, Times, Times).map(lambda ends: Interval(*(sorted(ends)[i] for i in (1, 0, 2))))


def verdict(latency: Interval, recorded: Interval, error: float | None = 1e-6, disturbed: str = "") -> Verdict:
    return Verdict("board", False, error, 1e-3, latency, recorded, 3, disturbed, 12.0, 0.5)


@given(Intervals, Intervals)
def test_a_latency_falls_into_the_interval_or_lies_so_far_beyond_its_nearer_end(now: Interval, then: Interval) -> None:
    found = verdict(now, then)
    assert found.falls_into == (found.beyond == 0)
    if found.falls_into:
        assert found.overlap
    else:
        end = then.high if found.beyond > 0 else then.low
        assert end * (1 + found.beyond) == pytest.approx(now.value)
        assert (now.value > then.high) == (found.beyond > 0)
    assert found.overlap == verdict(then, now).overlap


@pytest.mark.parametrize(
    ("latency", "said"),
    [
        (Interval(1.02, 1.0, 1.04), "falls into the recorded interval: 1.020 ms (95 % interval 1.000 to 1.040) now"),
        (Interval(1.155, 1.04, 1.2), "lies 10.0% above the recorded interval, and its own interval reaches into it"),
        (Interval(1.155, 1.1, 1.2), "lies 10.0% above the recorded interval: "),
        (Interval(0.855, 0.8, 0.9), "lies 10.0% below the recorded interval: "),
    ],
)
def test_the_latency_in_words(latency: Interval, said: str) -> None:
    found = verdict(latency, Interval(1.0, 0.95, 1.05), disturbed="memory was slow")
    text = "\n".join(found.lines())
    assert said in text
    assert "1.000 ms (95 % interval 0.950 to 1.050) on record." in text
    assert "None of the 3 sessions was quiet: memory was slow." in text


@pytest.mark.parametrize(
    ("error", "agrees", "said"),
    [
        (1e-3, True, "agree with the expected ones: they lie at most 0.001 of their range off, and 0.001 is allowed"),
        (2e-3, False, "differ from the expected ones: they lie at most 0.002 of their range off"),
        (None, False, "The outputs on board are no numbers."),
    ],
)
def test_the_outputs_in_words(error: float | None, agrees: bool, said: str) -> None:
    found = verdict(Interval(1, 1, 1), Interval(1, 1, 1), error)
    assert found.agree is agrees
    assert said in "\n".join(found.lines())
    assert found.as_dict()["agree"] is agrees
