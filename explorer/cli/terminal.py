"""Options that commands share, and results → a terminal, a file or a pipe: tables and lines, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.reading import DEFAULT_WORKSPACE

# rich takes long to import: `dlas --help` answers at once.
if TYPE_CHECKING:
    from rich.console import RenderableType

PIPED_WIDTH = 200  # a table in a file or pipe shall not be folded into 80 columns

InWorkspace = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the study and its artifacts.")]
WORKSPACE = Path(DEFAULT_WORKSPACE)
OfStudy = Annotated[
    str | None, typer.Option("--study", help="Name of the study; the latest of the workspace if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_parts(*parts: RenderableType) -> None:
    """Print `parts`, see `print_each`."""
    print_each(parts)


def print_each(parts: Iterable[RenderableType]) -> None:
    """Print each part as soon as there is one; a line of text stays whole, however wide the terminal is."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str | Text))


def print_json(value: object) -> None:
    """Print `value` as JSON; NaN, which JSON lacks, is an error."""
    print(json.dumps(value, indent=2, allow_nan=False))
