"""The command line: all commands together; each of the folder's files holds some, as its `COMMANDS`."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import warnings
from collections.abc import Callable, Sequence

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
    streams,
)
from explorer.cli.terminal import help_of, of_system, print_json_error
from explorer.core.errors import ExplorerError, LeftOut
from explorer.core.names import visible

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


def _with_finite_numbers(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command`, which refuses infinity and NaN: Python reads them as numbers, and no option takes them."""

    @functools.wraps(command)
    def checked(**options: object) -> None:
        for name, given in options.items():
            for value in given if isinstance(given, list) else [given]:
                if isinstance(value, float) and not math.isfinite(value):
                    raise ExplorerError(f"{name.replace('_', '-')} {value} is no finite number")
        command(**options)

    return checked


refusals.install()
for command in COMMANDS:
    app.command(help=help_of(command))(_with_finite_numbers(command))

# Of wrong options and arguments; typer does not export it itself.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _show(others: Callable[..., None]) -> Callable[..., None]:
    """Return what prints a warning of what is left out as a note, and leaves all others to `others`."""

    def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
        if issubclass(category, LeftOut):
            print(f"note: {message}", file=sys.stderr)
        else:
            others(message, category, *rest)

    return show


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2.

    With ``--json`` it is a JSON document on standard output, too, so that there always is one.
    """
    if arguments is None:
        streams.in_utf8()
    given = sys.argv[1:] if arguments is None else list(arguments)
    streams.prepare()
    warnings.showwarning = _show(warnings.showwarning)
    try:
        code = _run(given)
        streams.flush()
    except streams.PipeClosed:
        code = streams.PIPE_CLOSED
    except streams.StreamError as error:
        code = _say(str(error))
    finally:
        streams.give_up()
    sys.exit(code)


def _run(given: list[str]) -> int | str | None:
    """Run a command and return its exit code; see `main`."""
    as_json = "--json" in given
    try:
        # Typer itself prints wrong usage, unless that shall be JSON.
        return app(given, standalone_mode=not as_json) or 0
    except (streams.PipeClosed, streams.StreamError):
        raise
    except SystemExit as end:
        return end.code
    except ExplorerError as error:
        message = str(error)
    except UsageError as error:
        message = error.format_message()  # type: ignore[attr-defined]
    except (OSError, UnicodeEncodeError) as error:
        message = of_system(error)
    except MemoryError:
        message = "there is not enough memory; the same command goes on with what is left, or starts again"
    if as_json:
        names = [each.__name__ for each in COMMANDS]
        print_json_error(next((each for each in given if each in names), None), message)
    return _say(message)


def _say(message: str) -> int:
    """Print an error and return its exit code; where nobody reads errors, that is all there is."""
    with contextlib.suppress(streams.StreamError, streams.PipeClosed):
        print(f"error: {visible(message)}", file=sys.stderr)
    return 2
