"""The base of a stack, and stacks that differ from it in some choices alone."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from explorer.core.errors import ExplorerError
from explorer.profiles.in_short import in_short
from explorer.profiles.neighbours import base_of, neighbour, stack_of
from tests.explorer.frames import complete, failed, frame_of

PRUNED: dict[str, Any] = {"compression": "weight_pruning", "ratio": 0.5}


@pytest.fixture
def frame() -> pd.DataFrame:
    return frame_of(
        complete(0, 0.9, 2.0),
        complete(1, 0.9, 1.9, **PRUNED),
        complete(2, 0.9, 1.0, **PRUNED, format="csr"),
        complete(3, 0.9, 1.5, **PRUNED, threads=2),
        complete(4, 0.9, 1.4, **{**PRUNED, "ratio": 0.75}),
        complete(5, 0.9, 2.1),
        failed(6),
        complete(7, 0.9, 1.9, **PRUNED, model="vgg16"),
    )


def test_the_base_is_the_same_stack_uncompressed_and_the_latest_of_several(frame: pd.DataFrame) -> None:
    assert base_of(frame, 1) == base_of(frame, 2) == base_of(frame, 4) == 5


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "has no compression"),
        (3, "is not on record; .* or give trial 5 in its place, which differs in threads as well$"),
        (7, "is not on record; .* or give another trial$"),
    ],
)
def test_without_a_base(number: int, said: str, frame: pd.DataFrame) -> None:
    with pytest.raises(ExplorerError, match=f"trial {number}.* {said}"):
        base_of(frame, number)


def test_a_neighbour_differs_in_the_changes_alone(frame: pd.DataFrame) -> None:
    assert neighbour(frame, 1, {"format": "csr"}) == 2
    assert neighbour(frame, 1, {"ratio": 0.75}) == 4
    assert neighbour(frame, 1, {"ratio": 0.9}) is None
    assert stack_of(frame, 0)["ratio"] is None


@pytest.mark.parametrize(
    ("latency", "nonzeros", "said"),
    [
        (1.9, 50, "not the 0.50 expected from its work: 'dlas profile 1 --vs base' says why"),
        (0.9, 50, "; expected from its work: 0.50"),
    ],
)
def test_in_short(latency: float, nonzeros: int, said: str) -> None:
    work: dict[str, Any] = {"macs": 10**6, "weights": 100, "dtype": "float32"}
    frame = frame_of(
        {**complete(0, 0.9, 2.0), **work, "nonzeros": 100},
        {**complete(1, 0.9, latency, **PRUNED), **work, "nonzeros": nonzeros},
    )
    told = in_short(frame, 1)
    assert told.startswith(f"it takes {latency / 2:.2f} (")
    assert "of the time of trial 0, the same stack uncompressed" in told
    assert told.endswith(said)
    assert in_short(frame, 0) == ""
    assert in_short(frame_of(failed(0)), 0) == ""
    assert in_short(frame.drop(columns="nonzeros"), 1) == ""
