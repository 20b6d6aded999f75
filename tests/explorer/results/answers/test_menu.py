from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.core.errors import ExplorerError
from explorer.results.answers import best_stack
from explorer.results.answers.goals import Goals
from explorer.results.answers.menu import menu
from explorer.results.tables.menu_tables import menu_table
from explorer.space.limits import Limit
from tests.explorer.command import answer, dlas
from tests.explorer.frames import complete, disturbed, emulated, failed, frame_of, study
from tests.explorer.searched import searched, searched_on_two
from tests.explorer.shown import shown, squeezed

FRAME = frame_of(
    complete(0, 0.90, 1.0, compression="channel_pruning", ratio=0.5),
    complete(1, 0.96, 2.0, compression="channel_pruning", ratio=0.25),
    complete(2, 0.96, 2.0, compression="channel_pruning", ratio=0.25, algorithm="gemm"),
    complete(3, 0.94, 3.0),
    complete(4, 0.97, 8.0),
    complete(5, 0.95, 0.1, device="board"),
    failed(6),
)


def test_the_steps_of_the_front_are_the_budgets() -> None:
    entries = menu(FRAME, "local")
    assert [(each.budget_ms, each.stack and each.stack.number) for each in entries] == [(1.0, 0), (2.0, 1), (8.0, 4)]
    assert [each.knee for each in entries] == [False, True, False]
    assert [each.keeps for each in entries] == pytest.approx([0.5, 0.5, 0.5])
    assert [each.drop and each.drop.base for each in entries] == [4, 4, 4]
    assert [round(each.speed_ups[0].factor.value, 6) for each in entries] == [3.0, 1.5, 0.375]
    assert json.loads(json.dumps([each.as_dict() for each in entries], allow_nan=False))


def test_budgets_can_be_given_and_some_nothing_keeps() -> None:
    entries = menu(FRAME, "local", [2.5, 0.5, 2.5])
    assert [(each.budget_ms, each.stack and each.stack.number) for each in entries] == [(0.5, None), (2.5, 1)]
    with pytest.raises(ExplorerError, match="a budget is a latency above 0 ms, not 0"):
        menu(FRAME, "local", [0.0])


def test_stacks_beyond_a_limit_are_left_out() -> None:
    assert [each.budget_ms for each in menu(FRAME, "local", limits=[Limit("latency_ms", "<=", 5.0)])] == [1.0, 2.0]
    assert menu(frame_of(failed(0)), "local") == menu(pd.DataFrame(), "local") == []


@given(st.lists(st.floats(0.05, 5), min_size=1, max_size=5))
def test_each_entry_is_the_best_stack(budgets: list[float]) -> None:
    frame = study()
    for entry in menu(frame, "local", budgets):
        found = best_stack.best(frame, "local", Goals(entry.budget_ms))
        assert entry.stack == found.stack
        assert entry.keeps == found.confidence


def test_the_table_has_a_line_for_each_budget() -> None:
    heads, first, second, nothing, shared = shown(menu_table([*menu(FRAME, "local")[:2], *menu(FRAME, "local", [0.5])]))
    assert squeezed(heads).startswith("device budget (ms) trial ratio accuracy test latency (ms) 95 % interval size")
    assert squeezed(first) == "local 1.000 0 0.5 90.00 % 89.00 % 1.000 0.980 to 1.050 1 kB 7.00 3.00"
    assert squeezed(second).endswith("1 kB 1.00 1.50 knee")
    assert squeezed(nothing) == "local 0.500 no stack keeps it"
    assert shared.startswith("all: dataset digits, model resnet18, width 1, compression channel_pruning")
    assert shown(menu_table([])) == ["no trial is complete yet"]
    marked = shown(menu_table(menu(disturbed(emulated(FRAME, "board"), 5, "noise"), "board")))
    assert squeezed(marked[1]).startswith("board (emulated) 0.100 5 95.00 % 94.00 % 0.100 disturbed")
    assert squeezed(marked[1]).endswith("2.00 1.00"), "its own base on the board"


def test_the_command_prints_the_menu_of_each_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = searched_on_two(tmp_path)[0].root
    found = answer(capsys, "menu", "-w", root)["entries"]
    assert found == [each.as_dict() for each in explorer.menu(root)]
    assert [each["device"] for each in found] == sorted(each["device"] for each in found)
    assert {each["device"] for each in found} == {"local", "board"}
    given = answer(capsys, "menu", "-w", root, "--device", "local", "--budgets", 3.5, 0.5, 9)["entries"]
    assert [(each["budget_ms"], each["stack"] and each["stack"]["number"]) for each in given] == [
        (0.5, None),
        (3.5, 2),
        (9.0, 8),
    ]
    joined = answer(capsys, "menu", "-w", root, "--device", "local+board")["entries"]
    assert set(joined[0]["stack"]["on_each"]) == {"local", "board"}
    assert dlas("menu", "-w", root) == 0
    assert "budget (ms)" in capsys.readouterr().out
    assert dlas("menu", "-w", root, "--device", "lokal") == 2
    assert "did you mean 'local'?" in capsys.readouterr().err


def test_a_study_without_a_complete_trial_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, _ = searched(tmp_path, limits=["latency_ms <= 0.1"])
    assert answer(capsys, "menu", "-w", place.root) == {"study": "drawn", "entries": []}
