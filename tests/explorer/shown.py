"""A printed thing → its lines, as a terminal of 200 columns shows them."""

from __future__ import annotations

import io

from rich.console import RenderableType

from explorer.results.console import Plain


def shown(*parts: RenderableType) -> list[str]:
    """Return the lines of `parts` without the spaces at their ends."""
    console = Plain(io.StringIO(), 200)
    for part in parts:
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def squeezed(line: str) -> str:
    """Return a line of a table with one space between its words."""
    return " ".join(line.split())
