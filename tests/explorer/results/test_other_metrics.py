"""A study that minimises a metric of its own → the answers of the same study by accuracy, and its metric's name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import RenderableType

from explorer.core.errors import ExplorerError
from explorer.core.measurement.metric import Metric
from explorer.fronts import certainty, pareto
from explorer.fronts.knee import axes, knees
from explorer.results.across_devices.comparison import compare
from explorer.results.across_devices.comparison_tables import comparison_text
from explorer.results.across_devices.joint import with_joint
from explorer.results.answers import best_stack
from explorer.results.answers.goals import Goals
from explorer.results.answers.menu import menu
from explorer.results.console import Plain
from explorer.results.figures.fronts import fronts
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.report import Report
from explorer.results.tables import best_tables, menu_tables, study_tables
from explorer.space.limits import Limit
from tests.explorer.frames import complete, failed, frame_of, study

MISSED = Metric("missed", "minimize")  # the share that accuracy leaves
POINTS = st.lists(st.tuples(st.integers(1, 99), st.integers(1, 50)), min_size=1, max_size=12)


def best(frame: pd.DataFrame, device: str, **asked: float) -> best_stack.Best:
    return best_stack.best(frame, device, Goals(**asked, metric=Metric.of_frame(frame)))


def printed(part: RenderableType) -> str:
    """Return what a terminal shows of a table."""
    console = Plain(io.StringIO(), 300)
    with console.capture() as shown:
        console.print(part)
    return shown.get()


def by_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of a study that is judged by `MISSED` where the given one is by accuracy."""
    names = {"accuracy": "missed", "accuracy_low": "missed_high", "accuracy_high": "missed_low"}
    changed = frame.rename(columns={**names, "test_accuracy": "test_missed"})
    for name in ("missed", "missed_low", "missed_high", "test_missed"):
        changed[name] = (1 - changed[name]).round(9)
    done = changed["state"] == "complete"
    return changed.assign(**{name: done.map({True: value, False: None}) for name, value in MISSED.columns.items()})


@settings(max_examples=10)  # each takes 0.2 s
@given(POINTS, st.integers(0, 99), st.integers(1, 60))
def test_the_same_stacks_are_the_best(points: list[tuple[int, int]], bound: int, budget: int) -> None:
    stacks = [
        complete(i, hits / 100, ms, compression="none" if i % 2 else "int8") for i, (hits, ms) in enumerate(points)
    ]
    frame = frame_of(*stacks, failed(len(stacks)))
    errors = by_errors(frame)
    assert axes(errors) == {"missed": "minimize", "latency_ms": "minimize"}
    assert pareto.on_front(errors, axes(errors)).tolist() == pareto.on_front(frame, axes(frame)).tolist()
    assert knees(errors) == knees(frame)
    asked: list[dict[str, Any]] = [{"budget_ms": float(budget)}, {"budget_ms": float(budget), "max_drop": 0.1}]
    for limits in asked:
        try:
            expected = best(frame, "local", **limits)
        except ExplorerError as error:
            with pytest.raises(ExplorerError, match="no uncompressed trial"):
                best(errors, "local", **limits)
            assert "no uncompressed trial" in str(error)  # noqa: PT017
            continue
        found = best(errors, "local", **limits)
        for own, other in ((found.stack, expected.stack), (found.next_better, expected.next_better)):
            assert (own and own.number) == (other and other.number)
        assert (found.drop and found.drop.base) == (expected.drop and expected.drop.base)
        assert (found.drop and found.drop.drop) == pytest.approx(expected.drop and expected.drop.drop)
    fastest = best(errors, "local", metric_bound=round(1 - bound / 100, 9)).stack
    accurate = best(frame, "local", min_accuracy=bound / 100).stack
    assert (fastest and fastest.number) == (accurate and accurate.number)
    chosen = [[each.stack and each.stack.number for each in menu(of, "local")] for of in (errors, frame)]
    assert chosen[0] == chosen[1]


def test_goals_of_the_other_kind_of_study_are_refused() -> None:
    frame = study(("a",))
    with pytest.raises(ExplorerError, match="this study has missed in place of an accuracy; give --metric-bound"):
        best(by_errors(frame), "a", min_accuracy=0.5)
    with pytest.raises(ExplorerError, match="no metric of its own but an accuracy; give --min-accuracy"):
        best(frame, "a", metric_bound=0.5)
    with pytest.raises(ExplorerError, match="max drop is a loss of missed from 0, not -1"):
        best(by_errors(frame), "a", max_drop=-1)
    with pytest.raises(ExplorerError, match="--max-drop or --metric-bound"):
        best(by_errors(frame), "a")


def test_limits_and_several_devices_go_by_the_direction() -> None:
    errors = by_errors(study(("a", "b")))
    limit = Limit.parse("missed <= 0.2", ("missed",))
    kept = errors[pareto.violations(errors[errors["state"] == "complete"], [limit]).reindex(errors.index) == 0]
    assert (kept["missed"] <= 0.2).all()
    joint = with_joint(errors, "a+b")
    first = joint[joint["state"] == "complete"].iloc[0]
    assert first["missed"] == max(first["missed on a"], first["missed on b"]), "the worse of both is the larger"


def test_tables_figures_and_report_say_its_name(tmp_path: Path) -> None:
    frame = by_errors(study(("a", "b")))
    objectives = axes(frame)
    rows = certainty.front_with_ties(frame, objectives)
    rows = rows.assign(knee=False)
    said = [
        printed(study_tables.fronts_table(rows, rows.iloc[:0], ())),
        printed(best_tables.best_text(best(frame, "a", budget_ms=1e6, max_drop=5.0))),
        printed(best_tables.best_text(best(frame, "a", metric_bound=0.9))),
        printed(menu_tables.menu_table(menu(frame, "a"))),
        *(printed(part) for part in comparison_text(compare(frame, rows))),
        fronts(frame, "drawn").to_json(),
    ]
    report = Report.of(Evidence.of("drawn", frame, rows, objectives))
    said.append(report.write(tmp_path / "report.md", as_markdown=True).read_text())
    said.append(str(report.as_dict()))
    for text in said:
        assert "accuracy" not in text.lower()
    for text in (*said[:4], *said[-3:]):
        assert "missed" in text
    assert "at most 0.9 missed" in said[2]
    assert '"text":"Validation missed"' in said[-3].replace(" ", "").replace("Validationmissed", "Validation missed")
