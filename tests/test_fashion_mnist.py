"""The study in ``docs/fashion-mnist`` is whole, and all that its page and its report say follows from its records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from explorer.core.configuration import AXES
from explorer.fronts import certainty
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.report import QUESTIONS, Report
from explorer.space import space
from tests import ROOT, fashion_mnist
from tests.explorer.results.study_report import sentences

PAGE = ROOT / "docs" / "fashion-mnist.md"
REPORT = fashion_mnist.FOLDER / "report.md"
SPACE = ROOT / "search_spaces" / "fashion_mnist.toml"
NUMBER = r"\d+(?:\.\d+)?"
FITTED = "importances"  # by a random forest, whose draws another version of scikit-learn may change


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    frame, objectives = fashion_mnist.frame(), space.load(SPACE).objectives
    return Evidence.of("fashion_mnist", frame, certainty.front_with_ties(frame, objectives), objectives)


def test_every_configuration_of_the_space_is_on_record() -> None:
    def chosen(values: object) -> str:
        return "" if values is None or values != values else f"{values:g}" if isinstance(values, float) else str(values)

    asked = {tuple(chosen(getattr(each, axis)) for axis in AXES) for each in space.load(SPACE).whole.configurations()}
    frame = fashion_mnist.frame()
    found = {tuple(map(chosen, row)) for row in frame[list(AXES)].itertuples(index=False)}
    assert found == asked
    assert len(frame) == len(asked) >= 300


def test_every_sentence_of_the_report_follows_from_the_records(evidence: Evidence) -> None:
    sentences.check(evidence)


def test_the_report_is_that_of_the_records(evidence: Evidence, tmp_path: Path) -> None:
    shown = sections(REPORT.read_text())
    again = sections(Report.of(evidence, SPACE).write(tmp_path / "report.md", as_markdown=True).read_text())
    assert list(shown) == list(again)
    fitted = next(question.text for question in QUESTIONS if question.kind == FITTED)
    assert {title: text for title, text in shown.items() if title != fitted} == {
        title: text for title, text in again.items() if title != fitted
    }
    # The forest's shares may differ by some points, and the words around them by nothing.
    one, other = (shown[fitted].split("![")[0], again[fitted].split("![")[0])
    assert re.sub(NUMBER, "#", one) == re.sub(NUMBER, "#", other)
    for told, found in zip(re.findall(NUMBER, one), re.findall(NUMBER, other), strict=True):
        assert float(told) == pytest.approx(float(found), abs=3 if float(told) > 1 else 0.05)
    for name in re.findall(r"\]\(([^)]*)\)", REPORT.read_text()):
        assert (REPORT.parent / name).exists(), name


def test_every_sentence_of_what_was_found_follows_from_the_records() -> None:
    found = sections(PAGE.read_text())["What it found"]
    assert [" ".join(each.removeprefix("- ").split()) for each in re.split(r"\n(?=- )", found.strip())] == (
        fashion_mnist.said()
    )


def sections(text: str) -> dict[str, str]:
    """Return heading of the second level → what stands below it."""
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
