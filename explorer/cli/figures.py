"""Arguments of the commands that draw studies or list what they offer → one call each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import explorer
from explorer.cli.terminal import WORKSPACE, AsJson, InWorkspace, OfStudy, WithEmulated, print_json, print_parts

# Tables, pandas and all else that takes long to import is imported where it is used: `dlas --help` answers at once.


def menu(
    device: Annotated[
        str | None, typer.Option(help="This device alone, or several as a+b that one stack serves.")
    ] = None,
    budgets: Annotated[
        list[float] | None,
        typer.Option("--budgets", help="Latencies in ms, such as 0.1 0.2 0.5; the steps of the front if not given."),
    ] = None,
    # An option takes one value; those that follow it are arguments.
    more: Annotated[list[float] | None, typer.Argument(hidden=True)] = None,
    emulated: WithEmulated = False,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Print the most accurate stack for each of several latency budgets, device by device."""
    from explorer.results import menu_tables

    with explorer.open(workspace, study) as opened:
        entries = opened.menu(device, [*(budgets or ()), *(more or ())], emulated)
        name = opened.name
    if as_json:
        print_json("menu", {"study": name, "entries": [entry.as_dict() for entry in entries]})
    else:
        print_parts(menu_tables.menu_table(entries))


COMMANDS: tuple[Callable[..., None], ...] = (menu,)  # in the help's order
