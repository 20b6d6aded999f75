from __future__ import annotations

from pathlib import Path

from explorer.line.trials.dry_run import StageCount
from explorer.results.tables import space_tables
from explorer.search.grids.planning import Plan, StagePlan
from tests.explorer.shown import shown, squeezed
from tests.explorer.spaces import SMALL, make

STAGES = (StageCount("train", 80, 2, False), StageCount("build", 80, 70, True))


def test_a_space_is_shown_before_its_stages_are_counted(tmp_path: Path) -> None:
    counted: list[str] = []

    def count() -> tuple[StageCount, ...]:
        counted.append("counted")
        return STAGES

    space = make(tmp_path, SMALL, limits=["latency_ms <= 5"])
    parts = space_tables.space_text(space, count)
    first = shown(next(parts))
    assert counted == []
    assert any(squeezed(line) == "Algorithms & Data Formats algorithm direct, gemm" for line in first)
    assert "48 combinations, valid: 40 configurations" in first
    assert "limits: latency_ms <= 5" in first
    title, _, *lines = shown(*parts)
    assert title == "executions of stages, if nothing fails:"
    assert [line.split() for line in lines] == [
        ["train", "80", "2"],
        ["build", "80", "at", "most", "70"],
        ["all", "160", "at", "most", "72"],
    ]


def test_a_continuous_axis_is_told_in_place_of_the_stages(tmp_path: Path) -> None:
    space = make(tmp_path, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}, "threads": {"low": 1, "high": 8}})
    text = shown(*space_tables.space_text(space, lambda: None))
    assert any("0.3..0.9 continuous" in line for line in text)
    assert any("1..8 step 1" in line for line in text)
    assert text[-1] == "stages are not counted: axis ratio is continuous; give its range a step to count them"


def test_spaces_are_a_line_each(tmp_path: Path) -> None:
    _, line = shown(space_tables.spaces_table([make(tmp_path, SMALL)]))
    assert line.split()[:2] == ["drawn", "40"]


def test_a_plan_tells_what_is_left_and_how_long_it_takes() -> None:
    stages = (StagePlan("train", 12, 2, False, 720.0, 120.0), StagePlan("tune", 4, 3, True, None, None))
    text = shown(space_tables.plan_table(Plan(1200, 1000, stages, 120.0, ("tune",))))
    assert text[0] == "1,200 configurations, 1,000 of them on record; executions of stages, if nothing fails:"
    assert [line.split() for line in text[2:4]] == [
        ["train", "12", "2", "12.0", "2.0"],
        ["tune", "4", "at", "most", "3", "unknown", "unknown"],
    ]
    assert text[4] == ("about 2.0 minutes by what is on record; sharing leaves 16.67 % of what each alone would take")
    assert text[5] == "no time is on record of tune"
    done = shown(space_tables.plan_table(Plan(3, 3, (), 0.0, ())))
    assert done == ["3 configurations, 3 of them on record: nothing is left"]
