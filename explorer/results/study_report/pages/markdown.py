"""The parts of a report, and the files of their figures → one Markdown text with figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from explorer.results.study_report.pages.parts import Part, cells


def render(study: str, heading: str, parts: Sequence[Part], figures: Mapping[str, str]) -> str:
    """Return the report of `study`.

    Parameters
    ----------
    figures
        Kind of a part → the name of the image of its figure, which lies in the text's own folder.
    """
    lines = [f"# {_escaped(study)}: a report", "", _escaped(heading), ""]
    for part in parts:
        lines += [f"## {part.question}", "", *(f"{_escaped(each)}\n" for each in part.answer.sentences)]
        if part.kind in figures:
            lines += [f"![{part.question}]({quote(figures[part.kind])})", ""]
        lines += [f"{part.stands_on}\n"] * bool(part.stands_on) + [f"{_escaped(part.answer.note)}\n"] * bool(
            part.answer.note
        )
        if len(part.answer.table):
            lines += [*_table(part), ""]
    return "\n".join(lines)


def _table(part: Part) -> list[str]:
    head, rows, left_out = cells(part.answer.table)
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in (head, ["---"] * len(head), *rows)]
    return [*lines, *[f"\n{left_out:,} more rows: `dlas report --json`."] * bool(left_out)]


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|").replace("\n", " ")


def _escaped(text: str) -> str:
    """Return a text whose names with underscores, as all axes and algorithms have, stay as they are."""
    return text.replace("\\", "\\\\").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
