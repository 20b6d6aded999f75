"""Figures → one page that works offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.results.export import writing

if TYPE_CHECKING:
    import plotly.graph_objects as go

CONFIG = {"displaylogo": False, "responsive": True, "showSendToCloud": False}  # that button would upload the data


def write(figures: Sequence[go.Figure], path: Path) -> None:
    """Write `figures`, one below the other, as one page that holds everything that it needs.

    Raises
    ------
    ExplorerError
        If the file cannot be written.
    """
    parts = [
        figure.to_html(config=CONFIG, include_plotlyjs=index == 0, full_html=False)
        for index, figure in enumerate(figures)
    ]
    page = '<!DOCTYPE html>\n<html>\n<head><meta charset="utf-8"/></head>\n<body>\n{}\n</body>\n</html>\n'
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.format("\n".join(parts)), encoding="utf-8")
