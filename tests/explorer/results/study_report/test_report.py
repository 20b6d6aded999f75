"""A whole report: every answer on the page and in Markdown, offline, for studies of much, of little and of nothing."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

import explorer
from explorer.core.errors import ExplorerError
from explorer.results.study_report.answer import Question
from explorer.results.study_report.report import QUESTIONS, Report
from explorer.space import space
from tests.conftest import Ran
from tests.explorer.frames import complete, emulated, failed, frame_of, study
from tests.explorer.results.study_report import sentences
from tests.explorer.results.study_report.studies import drawn, evidence

ALL = drawn(7)
STUDIES = {
    "much": ALL,
    "one device": study(),
    "one stack": frame_of(complete(0, 0.9, 1.0)),
    "nothing": frame_of(failed(0)),
}


@dataclass(frozen=True)
class Written:
    """A report as a page and as a text, with the kinds of its parts that are drawn."""

    report: Report
    page: Path
    text: Path
    drawn: set[str]


@pytest.fixture(scope="module", params=list(STUDIES.values()), ids=list(STUDIES))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder, report = tmp_path_factory.mktemp("written"), Report.of(evidence(request.param))
    page = report.write(folder / "deep" / "report.html")
    text = report.write(folder / "to read (1).md", as_markdown=True)
    answers = zip(QUESTIONS, report.answers, strict=True)
    drawn = {question.kind for question, answer in answers if answer.draw is not None and answer.draw() is not None}
    return Written(report, page, text, drawn)


def test_the_page_has_every_sentence_and_works_offline(written: Written) -> None:
    report, page = written.report, written.page.read_text(encoding="utf-8")
    for question, answer in zip(QUESTIONS, report.answers, strict=True):
        assert f'<section id="{question.kind}"' in page
        assert f'<a href="#{question.kind}"' in page
        for sentence in (question.text, *answer.sentences):
            assert html.escape(sentence) in page
    assert report.heading in html.unescape(page)
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=[\"'](?!#)", outside), "it needs nothing else"
    assert page.count('class="plotly-graph-div"') == len(written.drawn)
    assert page.count("plotly.js v") == bool(written.drawn)


def test_the_markdown_says_the_same(written: Written) -> None:
    text = written.text.read_text(encoding="utf-8")
    plain = text.replace("\\", "").replace("&lt;", "<")
    for question, answer in zip(QUESTIONS, written.report.answers, strict=True):
        assert f"## {question.text}" in plain
        assert all(sentence in plain for sentence in answer.sentences)
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
    assert written.text.with_name("to read (1)-next.toml").exists()


def test_the_markdown_shows_each_figure_under_its_question(written: Written) -> None:
    text = written.text.read_text(encoding="utf-8")
    shown = dict(re.findall(r"^!\[(.+)\]\((\S+)\)$", text, flags=re.MULTILINE))
    images = {each.text: f"to read (1)-{each.kind}.png" for each in QUESTIONS if each.kind in written.drawn}
    assert {question: unquote(link) for question, link in shown.items()} == images
    folder = written.text.parent
    assert {image.name for image in folder.glob("*.png")} == {*images.values()}
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in images.values())


def test_names_are_no_markup(tmp_path: Path) -> None:
    frame = frame_of(complete(0, 0.9, 1.0, device="<b>|x"), failed(1, kind="<i>", device="<b>|x"))
    report = Report.of(evidence(frame))
    assert "<b>|x" not in report.write(tmp_path / "r.html").read_text()
    assert "<b>" not in report.write(tmp_path / "r.md", as_markdown=True).read_text()


def test_json_has_all_of_it() -> None:
    found = json.loads(json.dumps(Report.of(evidence(ALL)).as_dict(), allow_nan=False))
    assert list(found["answers"]) == [question.kind for question in QUESTIONS]
    assert len(found["answers"]["failures"]["rows"]) > 1
    little = json.loads(json.dumps(Report.of(evidence(frame_of(failed(0)))).as_dict(), allow_nan=False))
    assert little["answers"]["sparsity"]["needs"]["axes"]["format"] == ["dense", "csr"]


def test_emulated_devices_are_left_out_and_named() -> None:
    frame = emulated(study(("a", "b")), "b")
    assert (
        Report.of(evidence(frame)).heading
        == "34 stacks measured on a; 2 trials failed. Emulated devices are left out: b."
    )
    assert "on a and b" in Report.of(evidence(frame, emulated=True)).heading


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.kind)
def test_each_kind_has_a_figure_where_there_is_enough(question: Question) -> None:
    figure = question.figure(evidence(ALL))
    assert figure is not None
    assert len(figure.data)
    assert question.figure(evidence(frame_of())) is None if question.kind != "failures" else True


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExplorerError, match="cannot write"):
        Report.of(evidence(study())).write(tmp_path / "file" / "report.html")


def test_what_is_not_covered_is_said() -> None:
    said = " ".join(Report.of(evidence(study())).coverage.sentences)
    for part in ("width 0.25", "algorithm auto and winograd", "From which sparsity on"):
        assert part in said
    assert "resnet18" not in said, "it is measured, beside another model"


@pytest.mark.slow
def test_a_real_study_has_a_report_whose_sentences_follow_from_its_records(grid: Ran, tmp_path: Path) -> None:
    page = explorer.report(tmp_path / "report.html", grid.workspace)
    with explorer.open(grid.workspace) as study_:
        report = study_.report()
        sentences.check(report.evidence)
        assert all(html.escape(each) in page.read_text() for answer in report.answers for each in answer.sentences)
        complete_ones = int((study_.frame["state"] == "complete").sum())
    assert complete_ones == 16
    answered = {question.kind for question, answer in zip(QUESTIONS, report.answers, strict=True) if not answer.needs}
    assert answered == {"correlations", "speed_up", "algorithms", "importances", "front", "failures"}
    assert "a full grid of 16 stacks" in report.answers[5].sentences[0]
    found = space.load(tmp_path / "report-next.toml", to_run=False)
    before = space.load(grid.space)
    assert found.settings == before.settings
    assert found.axes["format"].choices == ("dense", "csr")
