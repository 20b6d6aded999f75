"""A study's evidence → the answers to all questions, in their order, what is not covered, and the next space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.results.export import writing
from explorer.results.figures import kinds
from explorer.results.study_report import next_space, words
from explorer.results.study_report.answer import Answer, Needs, Question
from explorer.results.study_report.coverage import Coverage, covered
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.pages import html_page, markdown
from explorer.results.study_report.pages.parts import Part
from explorer.results.study_report.questions import (
    algorithms,
    certainty,
    correlations,
    devices,
    failures,
    importances,
    sparsity,
    speed_up,
    tuning,
)

QUESTIONS: tuple[Question, ...] = (  # in the order of the page
    correlations.QUESTION,
    speed_up.QUESTION,
    sparsity.QUESTION,
    algorithms.QUESTION,
    tuning.QUESTION,
    importances.QUESTION,
    devices.QUESTION,
    certainty.QUESTION,
    failures.QUESTION,
)
UNCOVERED = "Which parts does the study not cover, and which space comes next?"


@dataclass(frozen=True)
class Report:
    """The answers that a study gives.

    Parameters
    ----------
    answers
        One for each of `QUESTIONS`, in their order.
    space_file
        The space of the study's latest run, whose settings and constraints the next one keeps; None if unknown.
    """

    evidence: Evidence
    answers: Sequence[Answer]
    coverage: Coverage
    space_file: Path | None = None

    @staticmethod
    def of(evidence: Evidence, space_file: Path | None = None) -> Report:
        """Ask all questions."""
        answers = [_named(question.ask(evidence), evidence) for question in QUESTIONS]
        open_ones = [
            evidence.about_its_metric(question.text)
            for question, answer in zip(QUESTIONS, answers, strict=True)
            if answer.needs
        ]
        return Report(evidence, answers, covered(evidence, open_ones), space_file)

    @property
    def needs(self) -> tuple[Needs, ...]:
        """What the answers lack; where they lack nothing that a space can add, what is worth a try."""
        lacking = tuple(answer.needs for answer in self.answers if answer.needs)
        if any(needs.axes for needs in lacking):
            return lacking
        shares = self.answers[QUESTIONS.index(importances.QUESTION)]
        return tuple(needs for needs in (next_space.further(self.evidence, shares.table),) if needs)

    @property
    def heading(self) -> str:
        """How much is on record, in one sentence."""
        frame = self.evidence.frame
        devices_ = words.listed(self.evidence.devices) or "no device"
        complete = f"{words.counted(len(self.evidence.complete), 'stack')} measured on {devices_}"
        without = [(state, int((frame["state"] == state).sum())) for state in ("failed", "skipped")]
        others = [f"{words.counted(count, 'trial')} {state}" for state, count in without if count]
        emulated = self.evidence.left_out
        aside = f" Emulated devices are left out: {words.listed(emulated)}." if emulated else ""
        return f"{'; '.join([complete, *others])}.{aside}"

    def write(self, path: Path, as_markdown: bool = False) -> Path:
        """Write the report as a page that works offline, or as Markdown, with the next space beside it.

        The next space is a file with the name of the page and ``-next.toml`` in place of its ending. The figures of
        Markdown are images with its name and ``-KIND.png``.

        Returns
        -------
        Path
            That of the page.

        Raises
        ------
        ExplorerError
            If a file cannot be written.
        """
        with writing(path):
            return self._written(path, as_markdown)

    def _written(self, path: Path, as_markdown: bool) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = next_space.write(path.with_name(f"{path.stem}-next.toml"), self.evidence, self.needs, self.space_file)
        parts = [
            *(
                Part(question.kind, self.evidence.about_its_metric(question.text), answer)
                for question, answer in zip(QUESTIONS, self.answers, strict=True)
            ),
            Part("coverage", UNCOVERED, self._uncovered(found)),
        ]
        if as_markdown:
            text = markdown.render(self.evidence.name, self.heading, parts, _drawn(parts, path))
        else:
            text = html_page.render(self.evidence.name, self.heading, parts)
        path.write_text(text, encoding="utf-8")
        return path

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain values for JSON, its answers by the kind of their question."""
        answers = {
            question.kind: {"question": self.evidence.about_its_metric(question.text), **answer.as_dict()}
            for question, answer in zip(QUESTIONS, self.answers, strict=True)
        }
        coverage = Answer(self.coverage.sentences, self.coverage.table, len(self.evidence.complete)).as_dict()
        return {"study": self.evidence.name, "heading": self.heading, "answers": answers, "coverage": coverage}

    def _uncovered(self, found: next_space.NextSpace | None) -> Answer:
        if found is None:
            following = "No next space follows from what is on record."
        else:
            added = [f"{axis} {', '.join(map(str, choices))}" for axis, choices in found.added.items()]
            beside = f", and adds {words.listed(added)}" if added else ""
            following = (
                f"The next space to run, of {words.counted(found.configurations, 'configuration')}, is "
                f"{found.path.name}: it has the choices of the stacks on the fronts or tied with them{beside}."
            )
        return Answer((*self.coverage.sentences, following), self.coverage.table, len(self.evidence.complete))


def _drawn(parts: Sequence[Part], beside: Path) -> dict[str, str]:
    """Draw the figures of a report as images beside its page, and return the name of each part's."""
    found = {}
    for part in parts:
        figure = part.answer.draw() if part.answer.draw else None
        if figure is not None:
            image = beside.with_name(f"{beside.stem}-{part.kind}.png")
            kinds.save(figure, image)
            found[part.kind] = image.name
    return found


def _named(answer: Answer, evidence: Evidence) -> Answer:
    """Return an answer whose note and columns have the name of the study's metric."""
    table = answer.table.rename(columns=evidence.about_its_metric) if len(answer.table) else answer.table
    return replace(answer, note=evidence.about_its_metric(answer.note), table=table)
