from __future__ import annotations

import time
from pathlib import Path

import pytest

import explorer
from explorer.core.errors import WorkspaceError
from explorer.dashboard.state import Snapshot, Studies
from explorer.dashboard.views import answer
from tests import large_study


def at_once(studies: Studies) -> None:
    """Let the next look read, however long the last reading took."""
    studies._next_reading = 0.0


def test_a_study_is_read_again_only_when_there_is_something_new(growing: Path) -> None:
    large_study.grow(growing, range(20))
    studies = Studies(growing)
    first = studies.snapshot("large")
    at_once(studies)
    assert studies.snapshot("large") is first
    large_study.grow(growing, range(20, 23))
    at_once(studies)
    second = studies.snapshot("large")
    assert len(second.opened.frame) == 23
    assert len(first.opened.frame) == 20, "what was read remains"
    large_study.grow(growing, range(23, 23), sessions=1)
    at_once(studies)
    assert studies.snapshot("large") is not second, "a session of measuring is news"


def test_a_study_that_takes_long_to_read_is_looked_at_less_often(growing: Path) -> None:
    large_study.grow(growing, range(20))
    studies = Studies(growing)
    first = studies.snapshot("large")
    large_study.grow(growing, range(20, 21))
    studies._next_reading = time.monotonic() + 1000
    assert studies.snapshot("large") is first


def test_the_answer_is_that_of_the_command(snapshot: Snapshot, workspace: Path) -> None:
    for budget in (0.01, 0.3, 3.0):
        best = explorer.best(budget, "local", None, workspace, "large")
        shown = " ".join(texts(answer.answer(snapshot, "local", budget, None)))
        stack = best.stack or best.nearest
        assert stack is not None
        assert f"open trial {stack.number}" in shown
        assert f"{stack.latency_ms:.3f} ms" in shown
        assert ("The most accurate stack" in shown) == (best.stack is not None)
        assert f"--latency-ms {budget:g} --device local" in shown


def texts(part: object) -> list[str]:
    """Return all texts of components."""
    if isinstance(part, str):
        return [part]
    inner = part if isinstance(part, list | tuple) else [getattr(part, "children", None) or ()]
    return [text for each in inner for text in texts(each)]


def test_the_slider_reaches_from_the_fastest_to_the_most_accurate(snapshot: Snapshot, workspace: Path) -> None:
    found = answer.bounds(snapshot, "local")
    assert found is not None
    low, high, _ = found
    assert explorer.best(answer.budget(low), "local", None, workspace, "large").stack is None
    best = explorer.best(answer.budget(high), "local", None, workspace, "large")
    assert best.next_better is None


def test_a_workspace_without_studies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no study in workspace"):
        Studies(tmp_path)
