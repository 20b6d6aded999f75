"""Stacks beside the uncompressed networks on record: which of these count, and what follows for the best stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import explorer
from explorer.core.errors import ExplorerError
from explorer.core.measurement.quantities import on_device
from explorer.core.measurement.statistics import Interval, ratio_interval
from explorer.results.across_devices.joint import with_joint
from explorer.results.answers import bases, best_stack
from explorer.results.answers.goals import Goals
from explorer.results.tables.best_tables import best_text
from tests.explorer.command import answer, dlas
from tests.explorer.frames import complete, frame_of
from tests.explorer.searched import searched
from tests.explorer.shown import shown

PRUNED: dict[str, Any] = {"compression": "channel_pruning", "ratio": 0.5}
FRAME = frame_of(
    complete(0, 0.96, 4.0),
    complete(1, 0.97, 5.0, algorithm="gemm"),  # the most accurate uncompressed one
    complete(2, 0.97, 3.0, threads=2),
    complete(3, 0.96, 2.0, **PRUNED),
    complete(4, 0.95, 1.5, **PRUNED, algorithm="gemm"),
    complete(5, 0.90, 1.2, **PRUNED, threads=2),
    complete(6, 0.93, 1.0, **PRUNED, width=0.5),  # without a base
    complete(7, 0.93, 0.5, **PRUNED, batch=8),  # with one of its accuracy alone
)


def test_the_base_of_an_accuracy_is_the_most_accurate_uncompressed_trial() -> None:
    found = bases.drops(FRAME, FRAME)
    assert found.keys() == {0, 1, 2, 3, 4, 5, 7}
    assert {drop.base for drop in found.values()} == {1}, "of two as accurate, the first"
    assert found[4].drop == pytest.approx(0.02)
    elsewhere = frame_of(complete(8, 0.99, 50.0, device="board"))
    assert bases.drops(FRAME, pd.concat([FRAME, elsewhere]))[4].base == 8


def test_the_base_of_a_latency_is_the_fastest_with_the_same_threads_and_batch() -> None:
    found = bases.speed_ups(FRAME)
    assert {index: [each.base for each in on] for index, on in found.items()} == {
        0: [0], 1: [0], 2: [2], 3: [0], 4: [0], 5: [2],
    }  # fmt: skip
    (pruned,) = found[3]
    assert pruned.base_latency == Interval(4.0, 3.92, 4.2)
    assert pruned.factor == ratio_interval(pruned.base_latency, Interval(2.0, 1.96, 2.1))
    assert found[0][0].factor == (1, 1, 1), "a trial beside itself"
    assert found[1][0].factor.value == pytest.approx(0.8)


def test_a_speed_up_of_joined_devices_is_one_on_each() -> None:
    on_b = [
        complete(10, 0.96, 9.0, device="board"),
        complete(11, 0.97, 8.0, algorithm="gemm", device="board"),
        complete(13, 0.96, 1.0, **PRUNED, device="board"),
    ]
    joined = with_joint(pd.concat([FRAME, frame_of(*on_b)], ignore_index=True), "local+board")
    found = {row["number"]: bases.speed_ups(joined)[index] for index, row in joined.iterrows()}
    here, there = found[3]
    assert (here.device, here.base, there.device, there.base) == ("local", 0, "board", 11)
    assert (here.factor.value, there.factor.value) == pytest.approx((2.0, 8.0))
    assert best_stack.best(joined, "local+board", Goals(min_speed_up=2.0)).stack is not None
    assert best_stack.best(joined, "local+board", Goals(min_speed_up=2.1)).stack is None
    at_once = joined.drop(columns=[on_device("number", name) for name in ("local", "board")])
    assert bases.speed_ups(at_once).keys() == bases.speed_ups(joined).keys()


@pytest.mark.parametrize(
    ("asked", "number", "better"),
    [
        ({"max_drop": 0.01}, 3, 2),  # the fastest that loses at most a point
        ({"max_drop": 0.05}, 7, 4),
        ({"max_drop": 0.0}, 2, None),
        ({"min_speed_up": 2.0}, 3, 2),  # the most accurate that is fast enough
        ({"min_speed_up": 2.5}, 4, 3),
        ({"min_speed_up": 2.0, "max_drop": 0.02, "budget_ms": 1.8}, 4, 3),
        ({"max_drop": 0.02, "budget_ms": 0.9}, None, None),
        ({"min_accuracy": 0.95}, 4, 3),  # the fastest
        ({"min_speed_up": 2.0, "min_confidence": 0.9}, 4, 3),  # trial 3 reaches it with 50 %
        ({"min_speed_up": 2.0, "min_accuracy": 0.965}, None, None),
    ],
)
def test_the_best_stack_for_goals_relative_to_a_base(asked: Any, number: int | None, better: int | None) -> None:
    found = best_stack.best(FRAME, "local", Goals(**asked))
    assert (found.stack and found.stack.number, found.next_better and found.next_better.number) == (number, better)
    assert (found.nearest is None) == (number is not None)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False)) == found.as_dict()


def test_the_answer_says_which_trials_it_is_compared_with() -> None:
    found = best_stack.best(FRAME, "local", Goals(max_drop=0.02, min_speed_up=2.5))
    assert found.drop is not None
    assert (found.drop.base, [each.base for each in found.speed_ups], found.without_base) == (1, [0], 2)
    text = " ".join(shown(best_text(found)))
    assert text.startswith(
        "The most accurate stack on local at most 2 points less accurate than the uncompressed network and at least "
        "2.5 times as fast as the uncompressed network (8 stacks measured, 0 failed, 2 left out: no trial of their"
    )
    assert "Its accuracy lies 2.00 points below the uncompressed network's 97.00 %: trial 1." in text
    value, low, high = found.speed_ups[0].factor
    assert (
        f"It is {value:.2f} ({low:.2f} to {high:.2f}) times as fast as the uncompressed network, whose fastest stack "
        "takes 4.000 ms: trial 0."
    ) in text
    assert "It reaches the speed-up with" in text
    sure = best_stack.best(FRAME, "local", Goals(min_speed_up=value * 0.999))
    assert f"the interval of its speed-up begins at {low:.2f}, below {value * 0.999:g}" in " ".join(
        shown(best_text(sure))
    )


def test_without_an_uncompressed_trial_the_error_is_one_sentence() -> None:
    pruned = FRAME[FRAME["compression"] != "none"]
    with pytest.raises(ExplorerError, match="no uncompressed trial of dataset digits, model resnet18, width 1 or any "):
        best_stack.best(pruned, "local", Goals(max_drop=0.1))
    with pytest.raises(ExplorerError, match=r"width 1, threads 1, batch 1 or any of 3 others is on record to compare"):
        best_stack.best(pruned, "local", Goals(min_speed_up=2))
    with pytest.raises(ExplorerError, match=r"threads 1, batch 1 is on record to compare with; search a space whose"):
        best_stack.best(pruned.iloc[:1], "local", Goals(min_speed_up=2))


def test_the_command_takes_the_goals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = searched(tmp_path)[0].root
    frame = explorer.frame(root)
    uncompressed = frame[(frame["compression"] == "none") & (frame["state"] == "complete")]
    found = answer(capsys, "best", "--max-drop", 0.02, "-w", root)
    drops = bases.drops(frame[frame["state"] == "complete"], frame)
    assert found["drop"]["base"] in uncompressed["number"].tolist()
    enough = [index for index, drop in drops.items() if drop.drop <= 0.02 + 1e-9]
    assert found["stack"]["latency_ms"] == frame.loc[enough, "latency_ms"].min()
    assert dlas("best", "--speed-up", 1, "-w", root) == 0
    assert "times as fast as the uncompressed network" in capsys.readouterr().out
    assert dlas("best", "-w", root) == 2
    assert "nothing is asked of the stack" in capsys.readouterr().err
