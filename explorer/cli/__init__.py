"""The command line: all commands together; each of the folder's files holds some, as its `COMMANDS`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from explorer.cli import (
    bundling,
    dashboard,
    figures,
    listing,
    networks,
    profiling,
    reading,
    refusals,
    reporting,
    running,
)
from explorer.cli.terminal import print_json_error
from explorer.core.errors import ExplorerError

app = typer.Typer(
    name="dlas",
    help="Find the best deep-learning stack: model, compression, algorithm, compiler and hardware at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# In the help's order.
COMMANDS = (
    *running.COMMANDS,
    *profiling.COMMANDS,
    *reading.COMMANDS,
    *reporting.COMMANDS,
    *figures.COMMANDS,
    *dashboard.COMMANDS,
    *bundling.COMMANDS,
    *listing.COMMANDS,
    *networks.COMMANDS,
)
refusals.install()
for command in COMMANDS:
    app.command()(command)

# Of wrong options and arguments; typer does not export it itself.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2.

    With ``--json`` it is a JSON document on standard output, too, so that there always is one.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in given
    try:
        # Typer itself prints wrong usage, unless that shall be JSON.
        sys.exit(app(given, standalone_mode=not as_json) or 0)
    except ExplorerError as error:
        message = str(error)
    except UsageError as error:
        message = error.format_message()  # type: ignore[attr-defined]
    if as_json:
        names = [each.__name__ for each in COMMANDS]
        print_json_error(next((each for each in given if each in names), None), message)
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
