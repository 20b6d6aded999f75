"""Looks that tell choices apart, and axes that neither crowd nor hide a stack."""

from __future__ import annotations

import pandas as pd
import pytest
from plotly.subplots import make_subplots

from explorer.results.figures import layout
from explorer.space.limits import Limit
from tests.explorer.frames import complete, frame_of


def test_every_choice_has_a_look_and_none_comes_first() -> None:
    names = ["int8", "none", "weight_pruning"]
    frame = pd.DataFrame({"compression": names, "algorithm": ["gemm", "direct", "gemm"]})
    looks = layout.styles(frame)
    assert list(looks["compression"]) == ["none", "int8", "weight_pruning"]
    assert len(set(looks["compression"].values())) == 3
    assert set(looks["algorithm"]) == {"direct", "gemm"}


@pytest.mark.parametrize(("slowest", "kind"), [(12.0, "linear"), (12.1, "log")])
def test_latencies_that_differ_widely_are_on_a_logarithmic_axis(slowest: float, kind: str) -> None:
    figure = make_subplots()
    layout.dress(figure, frame_of(complete(0, 0.9, 1.0), complete(1, 0.95, slowest)), "x", 1)
    axis = figure.layout.xaxis
    assert axis.type == kind
    if kind == "log":
        assert min(axis.tickvals) < 1.0
        assert max(axis.tickvals) > slowest
    else:
        assert axis.rangemode == "tozero"


def test_the_heading_counts_what_keeps_the_limits() -> None:
    frame = frame_of(complete(0, 0.9, 1.0), complete(1, 0.95, 2.0))
    text = layout.heading(frame, frame, "a <b>", [Limit("latency_ms", "<=", 1.5)])
    assert "2 stacks measured, 1 within the limits latency_ms &lt;= 1.5" in text
    assert "a &lt;b&gt;" in text


def test_the_looks_tell_front_and_ties_from_each_other_and_from_the_rest() -> None:
    looks = layout.LOOKS
    assert len(set(looks.values())) == 3
    assert looks[layout.DOMINATED] == looks[layout.BEYOND]
    assert list(looks)[-2:] == [layout.TIED, layout.ON_FRONT], "nothing lies on these"
