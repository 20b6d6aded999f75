"""Each function of the API that reads a study opens it once and closes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import explorer
from explorer.results.open_study import OpenStudy
from explorer.workspace.database.records import Records
from tests.explorer.searched import searched_on_two


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched_on_two(tmp_path_factory.mktemp("workspace"))[0].root


@pytest.mark.parametrize(
    "ask",
    [
        explorer.frame,
        explorer.front,
        explorer.ties,
        explorer.nearest,
        explorer.compare,
        explorer.objectives,
        explorer.study_limits,
        lambda root: explorer.layers(3, root),
        lambda root: explorer.best(3.5, "local", workspace=root),
        lambda root: explorer.figure(root / "page.html", root),
        lambda root: explorer.report(root / "report.html", root),
    ],
)
def test_a_question_opens_the_study_once_and_closes_it(
    ask: Callable[[Path], object], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Records] = []
    closed: list[Records] = []

    def close(records: Records) -> None:
        closed.append(records)
        dispose(records)

    dispose, initialize = Records.close, OpenStudy.__init__
    monkeypatch.setattr(Records, "close", close)

    def note(study: OpenStudy, *arguments: object) -> None:
        initialize(study, *arguments)  # type: ignore[arg-type]
        opened.append(study.records)

    monkeypatch.setattr(OpenStudy, "__init__", note)
    assert ask(root) is not None
    assert len(opened) == 1
    assert closed == opened


def test_the_records_of_a_study_are_open(root: Path) -> None:
    records, name = explorer.study_records(root)
    assert [number for number, _, _ in records.complete(name)] == explorer.frame(root).query("state == 'complete'")[
        "number"
    ].tolist()
    records.close()
