"""The parts of a report → one HTML page that works offline: sentences, figure and numbers of each question."""

from __future__ import annotations

import html
from collections.abc import Sequence

from explorer.results.figures.page import CONFIG
from explorer.results.study_report.pages.parts import Part, cells, numeric

FIGURE = {**CONFIG, "displayModeBar": False}  # it would lie over the legend
MOST_OPEN = 12  # rows of a table that are shown at once; a longer one unfolds
STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #555; --line: #ddd; --paper: #fff; --ground: #f6f6f4;
  --open: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eaeaea; --soft: #aaa; --line: #444; --paper: #232323; --ground: #181818; --open: #e0a93b; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 Inter, Helvetica, Arial, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.7rem; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 10px; }
nav { margin: 16px 0; } nav a { color: inherit; display: block; padding: 2px 0; } nav .open { color: var(--open); }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px;
  margin: 18px 0; }
section p { margin: 0 0 8px; overflow-wrap: anywhere; } p.soft, summary { color: var(--soft); font-size: 0.88rem; }
section.open .said { color: var(--open); }
.figure { background: #fff; border-radius: 6px; margin: 14px 0; overflow-x: auto; } .figure > div { min-width: 560px; }
details { margin-top: 8px; } summary { cursor: pointer; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; margin: 8px 0; }
th, td { text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{heading}</p>
<nav>
{links}
</nav>
{sections}
</main>
</body>
</html>
"""


def render(study: str, heading: str, parts: Sequence[Part]) -> str:
    """Return the page of `study`; plotly.js is in it once, with the first figure."""
    sections, with_plotly = [], False
    for part in parts:
        figure, drawn = _figure(part, not with_plotly)
        with_plotly |= drawn
        sections.append(_section(part, figure))
    links = [f'<a href="#{part.kind}"{_class(part)}>{html.escape(part.question)}</a>' for part in parts]
    return PAGE.format(
        title=html.escape(f"{study}: a report"),
        style=STYLE,
        heading=html.escape(heading),
        links="\n".join(links),
        sections="\n".join(sections),
    )


def _class(part: Part) -> str:
    return ' class="open"' if part.answer.needs else ""


def _figure(part: Part, with_plotly: bool) -> tuple[str, bool]:
    """Return the figure of a part as HTML, and whether there is one."""
    figure = part.answer.draw() if part.answer.draw else None
    if figure is None:
        return "", False
    drawn = figure.to_html(config=FIGURE, include_plotlyjs=with_plotly, full_html=False)
    return f'<div class="figure">{drawn}</div>', True


def _section(part: Part, figure: str) -> str:
    said = "\n".join(f'<p class="said">{html.escape(each)}</p>' for each in part.answer.sentences)
    soft = [f'<p class="soft">{html.escape(text)}</p>' for text in (part.stands_on, part.answer.note) if text]
    return "\n".join(
        [
            f'<section id="{part.kind}"{_class(part)}>', f"<h2>{html.escape(part.question)}</h2>", said, figure, *soft,
            _table(part), "</section>",
        ]
    )  # fmt: skip


def _table(part: Part) -> str:
    table = part.answer.table
    if not len(table):
        return ""
    head, rows, left_out = cells(table)
    marks = [' class="number"' if is_number else "" for is_number in numeric(table)]
    lines = [
        "<tr>"
        + "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in zip(row, marks, strict=True))
        + "</tr>"
        for tag, row in (("th", head), *(("td", row) for row in rows))
    ]
    more = f"<p>{left_out:,} more rows: dlas report --json</p>" if left_out else ""
    opened = " open" if len(rows) <= MOST_OPEN else ""
    shown = f'<div class="table"><table>{"".join(lines)}</table></div>{more}'
    return f"<details{opened}><summary>The numbers</summary>{shown}</details>"
