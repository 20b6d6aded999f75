"""A metric by the rows of a study: its name, its direction, and which of two values is better."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.measurement.metric import ACCURACY, Direction, Metric
from explorer.core.measurement.quantities import quantities
from explorer.core.measurement.statistics import Interval

MAE = Metric("mae", "minimize")
VALUES = st.floats(-1e6, 1e6)


@given(VALUES, VALUES, st.sampled_from(("maximize", "minimize")))
def test_a_gain_is_above_0_for_what_is_better(one: float, other: float, direction: Direction) -> None:
    metric = Metric("score", direction)
    assert (metric.gain(one, other) > 0) == (one > other if direction == "maximize" else one < other)
    assert metric.gain(one, other) == -metric.gain(other, one)


def test_a_study_says_its_metric_in_its_rows_and_a_classifiers_is_the_accuracy() -> None:
    interval = MAE.quantity.as_columns(Interval(2.0, 1.5, 2.5))
    assert interval == {"mae": 2.0, "mae_low": 1.5, "mae_high": 2.5}
    row = {**MAE.columns, **interval, MAE.test: 2.25}
    failed = dict.fromkeys(row)
    assert Metric.of(row) == MAE
    assert Metric.of(failed) == Metric.of({"accuracy": 0.5}) == ACCURACY
    frame = pd.DataFrame([failed, row])
    assert Metric.of_frame(frame) == MAE
    assert Metric.of_frame(frame.iloc[:0]).name == "mae"
    assert Metric.of_frame(pd.DataFrame([{"accuracy": 0.5}])) == ACCURACY
    assert ACCURACY.columns == {}
    assert Metric.given("own:mae", "minimize") == MAE
    assert quantities("mae")[0] == "mae"
    assert "accuracy" not in quantities("mae", each_device=True)


def test_people_read_shares_of_accuracy_and_digits_of_others() -> None:
    assert (ACCURACY.text(0.5), MAE.text(0.123456), MAE.text(None)) == ("50.00 %", "0.1235", "")
    assert (ACCURACY.difference(0.0125), MAE.difference(0.0125)) == ("1.25 points", "0.0125")
