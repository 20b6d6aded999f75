"""Options that commands share, and results → a terminal, a file or a pipe: tables and lines, or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.reading import DEFAULT_WORKSPACE

# rich takes long to import: `dlas --help` answers at once.
if TYPE_CHECKING:
    from rich.console import RenderableType

    from explorer.search.search import Observer

SCHEMA = 1  # of the JSON documents; a field that goes or changes its meaning raises it, a new one does not
PIPED_WIDTH = 200  # a table in a file or pipe shall not be folded into 80 columns

InWorkspace = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the study and its artifacts.")]
WORKSPACE = Path(DEFAULT_WORKSPACE)
OfStudy = Annotated[
    str | None, typer.Option("--study", help="Name of the study; the latest of the workspace if not given.")
]
WithEmulated = Annotated[bool, typer.Option("--emulated", help="Let emulated devices stand beside real ones.")]
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


def print_json(command: str, result: Mapping[str, object], error: str = "") -> None:
    """Print what `command` found as one JSON document; NaN, which JSON lacks, is an error.

    Parameters
    ----------
    result
        Name → value; docs/results.md describes those of every command.
    error
        What is wrong all the same, in one sentence; the command ends with exit code 2 then.
    """
    print(document(command, {"result": result, **_error(error)} if error else {"result": result}), end="")


def print_json_error(command: str | None, error: str) -> None:
    """Print what a user can mend as one JSON document; `command` is None where none was recognised."""
    print(document(command, _error(error)), end="")


def document(command: str | None, parts: Mapping[str, object]) -> str:
    """Return the JSON document of a command: the version of its schema, the command's name, and `parts`."""
    return json.dumps({"schema": SCHEMA, "command": command, **parts}, indent=2, allow_nan=False) + "\n"


def _error(message: str) -> dict[str, object]:
    return {"error": {"message": message}}


@contextlib.contextmanager
def progress(as_json: bool) -> Iterator[Observer | None]:
    """Give what shows progress on standard error, as standard output has the JSON; else None, for standard output."""
    if not as_json:
        yield None
        return
    from rich.console import Console

    from explorer.results.progress.live import Progress

    with Progress(Console(stderr=True, highlight=False)) as shown:
        yield shown
