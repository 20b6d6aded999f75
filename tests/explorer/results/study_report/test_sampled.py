"""The figures of a large study have all stacks on a front, a sample of the others, and say how many are left out."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from explorer.results.study_report import sampled
from tests.explorer.frames import complete, frame_of

MANY = 1300


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    """One stack on each front, and many that it dominates, on two devices."""
    rows = [
        complete(0, 0.5 if i else 0.9, 2.0 + i if i else 1.0, width=0.01 * (i + 1), device=device)
        for device in ("a", "b") for i in range(MANY + 1)
    ]  # fmt: skip
    return frame_of(*({**row, "number": number} for number, row in enumerate(rows)))


def points(figure: Any) -> int:
    """Return how many stacks are under the pointer."""
    return sum(len(trace.text) for trace in figure.data if trace.text is not None)


def test_a_front_is_drawn_with_a_sample_of_what_it_dominates(large: pd.DataFrame) -> None:
    figure = sampled.front(large, "x", ())
    assert points(figure) == 2 + sampled.MOST_FAINT
    assert (
        f"{2 * MANY - sampled.MOST_FAINT:,} more stacks that are on no front are not drawn" in figure.layout.title.text
    )


def test_lines_across_devices_are_those_of_fronts_and_a_sample(large: pd.DataFrame) -> None:
    figure = sampled.across_devices(large, "x", ())
    assert figure is not None
    faint, bright, *_ = figure.data
    assert faint.x.count(None) == sampled.MOST_FAINT
    assert bright.x.count(None) == 1
    assert f"{MANY - sampled.MOST_FAINT:,} more stacks" in figure.layout.title.text


def test_a_small_study_is_drawn_whole(large: pd.DataFrame) -> None:
    small = large[large["number"] % (MANY + 1) < 5]
    figure = sampled.front(small, "x", ())
    assert points(figure) == 10
    assert "not drawn" not in figure.layout.title.text
    assert sampled.across_devices(small[small["device"] == "a"], "x", ()) is None
