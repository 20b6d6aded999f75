"""The command line: all commands together; each of the folder's files holds some, as its `COMMANDS`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from explorer.cli import dashboard, listing, reading, running
from explorer.core.errors import ExplorerError

app = typer.Typer(
    name="dlas",
    help="Find the best deep-learning stack: model, compression, algorithm, compiler and hardware at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (*running.COMMANDS, *reading.COMMANDS, *dashboard.COMMANDS, *listing.COMMANDS):  # in the help's order
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2."""
    try:
        app(arguments)
    except ExplorerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
