"""Arguments of the commands that draw studies or list what they offer → one call each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import explorer
from explorer.cli.terminal import (
    WORKSPACE,
    AsJson,
    InWorkspace,
    OfStudy,
    WithEmulated,
    print_each,
    print_json,
    print_parts,
)

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
    from explorer.results.tables import menu_tables

    with explorer.open(workspace, study) as opened:
        entries = opened.menu(device, [*(budgets or ()), *(more or ())], emulated)
        name = opened.name
    if as_json:
        print_json("menu", {"study": name, "entries": [entry.as_dict() for entry in entries]})
    else:
        print_parts(menu_tables.menu_table(entries))


def figure(
    kind: Annotated[str | None, typer.Argument(help="What to draw; the kinds are listed if it is not given.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File: .html, .png, .svg or .pdf; KIND.html if not given.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="This device alone.")] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0, help="Budget to draw.")] = None,
    trial: Annotated[int | None, typer.Option(help="Number of the trial to draw.")] = None,
    emulated: WithEmulated = False,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Draw a figure as a page, or as an image for a paper; neither takes a browser or a network."""
    from explorer.results.figures import kinds

    if kind is None:
        listed = [{"kind": name, "shows": each.shows, "takes": list(each.takes)} for name, each in kinds.KINDS.items()]
        if as_json:
            return print_json("figure", {"kinds": listed})
        return print_each(f"{each['kind']}: {each['shows']}" for each in listed)
    path = explorer.draw(
        kind,
        output or f"{kind}.html",
        workspace,
        study,
        device=device,
        latency_ms=latency_ms,
        emulated=emulated,
        trial=trial,
    )
    if as_json:
        return print_json("figure", {"kind": kind, "path": str(path)})
    return print_parts(f"the figure: {path}")


COMMANDS: tuple[Callable[..., None], ...] = (menu, figure)  # in the help's order
