from __future__ import annotations

from typing import Any

import pandas as pd
from hypothesis import given

from explorer.results.across_devices.same_stack import OTHER_AXES, one_each, stack_ids
from tests.explorer.frames import complete, failed, frame_of
from tests.explorer.results.across_devices.drawn import frames


@given(frames())
def test_stacks_are_the_same_where_all_axes_but_the_device_are(frame: pd.DataFrame) -> None:
    axes = [tuple(None if pd.isna(each) else each for each in row) for row in frame[list(OTHER_AXES)].to_numpy()]
    ids = stack_ids(frame).tolist()
    assert [first == other for first in ids for other in ids] == [first == other for first in axes for other in axes]


def test_gaps_are_equal_however_they_are_kept_and_vector_counts_by_name() -> None:
    pruned: dict[str, Any] = {"compression": "channel_pruning", "ratio": 0.5}
    frame = frame_of(
        complete(0, 0.9, 1.0, **pruned, channel_multiple="vector"),
        complete(1, 0.8, 1.0, **pruned, channel_multiple="vector", device="board"),
        complete(2, 0.9, 1.0, **pruned, channel_multiple=8),
        {**complete(3, 0.9, 1.0), "channel_multiple": float("nan")},
        complete(4, 0.9, 1.0, device="board"),
    )
    ids = stack_ids(frame).tolist()
    assert (ids[0], ids[3]) == (ids[1], ids[4])
    assert len(set(ids)) == 3


def test_of_several_trials_of_a_stack_the_complete_one_counts_then_the_preferred_then_the_last() -> None:
    frame = frame_of(complete(0, 0.9, 1.0), complete(1, 0.9, 1.1), failed(2), complete(3, 0.9, 1.0, device="board"))
    none = pd.Series(False, index=frame.index)
    assert one_each(frame, none)["number"].tolist() == [1, 3]
    assert one_each(frame, frame["number"] == 0)["number"].tolist() == [0, 3]
    assert one_each(frame.iloc[2:], none)["number"].tolist() == [2, 3]
