"""`dlas report` writes a page, a text or JSON, with the next space beside it, and opens the database once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.explorer.command import answer, dlas
from tests.explorer.searched import searched_on_two


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study on two devices, with outcomes that cost nothing."""
    return searched_on_two(tmp_path_factory.mktemp("two"))[0].root


def test_it_writes_a_page_a_text_and_the_next_space(
    on_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dlas("report", "-w", on_two, "--markdown") == 0
    assert capsys.readouterr().out == "the report: report.md\n"
    assert dlas("report", "-w", on_two, "--output", "deep/other.html", "--study", "drawn") == 0
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    shown = re.findall(r"\]\((report-.*\.png)\)", Path("report.md").read_text())
    images = [name for name in written if name.endswith(".png")]
    assert images == sorted(shown) != []
    assert [name for name in written if name not in images] == [
        "deep/other-next.toml",
        "deep/other.html",
        "report-next.toml",
        "report.md",
    ]
    assert Path("report.md").read_text().startswith("# drawn: a report\n")
    assert dlas("spaces", "report-next.toml") == 0


def test_json_has_the_answers(on_two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "report", "-w", on_two)
    assert found["study"] == "drawn"
    assert found["answers"]["across_devices"]["rows"][0]["front_of"] == "board"


def test_it_opens_the_database_once(
    on_two: Path,
    tmp_path: Path,
    connections: list[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dlas("report", "-w", on_two) == 0
    assert len(connections) == 1
    assert capsys.readouterr().out == "the report: report.html\n"
    assert Path("report.html").exists()


def test_a_study_that_is_not_there_is_an_error(on_two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas("report", "-w", on_two, "--study", "drawm") == 2
    assert "did you mean 'drawn'?" in capsys.readouterr().err
