"""Options that commands share, and results → a terminal, a file or a pipe: tables and lines, or JSON."""

from __future__ import annotations

import ast
import contextlib
import errno
import inspect
import json
import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.reading import DEFAULT_WORKSPACE

# rich takes long to import: `dlas --help` answers at once.
if TYPE_CHECKING:
    from rich.console import RenderableType

    from explorer.search.search import Observer

SCHEMA = 1  # of the JSON documents; a field that goes or changes its meaning raises it, a new one does not
SHOWN = 200  # characters of a text that an error shows
PIPED_WIDTH = 200  # a table in a file or pipe shall not be folded into 80 columns

InWorkspace = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the study and its artifacts.")]
WORKSPACE = Path(DEFAULT_WORKSPACE)
OfStudy = Annotated[
    str | None, typer.Option("--study", help="Name of the study; the latest of the workspace if not given.")
]
WithEmulated = Annotated[bool, typer.Option("--emulated", help="Let emulated devices stand beside real ones.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def help_of(command: Callable[..., None]) -> str:
    """Return the docstring of a command, from its source where PYTHONOPTIMIZE leaves docstrings out."""
    if command.__doc__:
        return command.__doc__
    (function,) = ast.parse(inspect.getsource(command)).body
    return (ast.get_docstring(function) or "") if isinstance(function, ast.FunctionDef) else ""


def print_parts(*parts: RenderableType) -> None:
    """Print `parts`, see `print_each`."""
    print_each(parts)


def print_each(parts: Iterable[RenderableType]) -> None:
    """Print each part as soon as there is one; a line of text stays whole, however wide the terminal is."""
    from rich.text import Text

    from explorer.results.console import Plain

    console = Plain(width=None if sys.stdout.isatty() else PIPED_WIDTH)
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


def of_system(error: OSError | UnicodeEncodeError) -> str:
    """Return in one sentence what the system says against a file, a name or one more of something."""
    if isinstance(error, UnicodeEncodeError):
        lacks = f"{error.object[:SHOWN]!a} has a character that the encoding {error.encoding} lacks"
        return f"{lacks}; a name that is UTF-8 works, and so does LC_ALL=C.UTF-8 in the environment"
    said = error.strerror or str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"{said}: a process may open {allowed} files here; raise that with ulimit -n"
    return f"'{os.fsdecode(error.filename)}': {said}" if isinstance(error.filename, str | bytes) else said


def _error(message: str) -> dict[str, object]:
    return {"error": {"message": message}}


@contextlib.contextmanager
def progress(as_json: bool) -> Iterator[Observer | None]:
    """Give what shows progress on standard error, as standard output has the JSON; else None, for standard output."""
    if not as_json:
        yield None
        return
    from explorer.results.console import Plain
    from explorer.results.progress.live import Progress

    with Progress(Plain(sys.stderr)) as shown:
        yield shown
