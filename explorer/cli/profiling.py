"""Arguments of the command that profiles → one call, and its layers as a table or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import explorer
from explorer.cli.terminal import WORKSPACE, AsJson, InWorkspace, OfStudy, print_each, print_json, progress
from explorer.core.errors import ExplorerError

# Tables and all else that takes long to import is imported where it is used: `dlas --help` answers at once.
if TYPE_CHECKING:
    from explorer.profiles.profile import Profile


def profile(
    trial: Annotated[int, typer.Argument(help="Number of a complete trial.")],
    vs: Annotated[
        str | None,
        typer.Option("--vs", help="Hold it against a trial, or 'base', the same stack uncompressed, and say why."),
    ] = None,
    sessions: Annotated[int, typer.Option(min=1, help="Quiet sessions to time it in.")] = 3,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    figure: Annotated[Path | None, typer.Option(help="Write the layers as a flame, an HTML page, too.")] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Write what Model Explorer lays over the network's graph, too.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="The study's search-space file, if it is no longer where it was.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time every layer of a trial's network on its device: what it takes, what bounds it, what ran and why."""
    from explorer.results.tables import profile_tables

    if vs is not None and (figure or overlay):
        raise ExplorerError("--figure and --overlay show one trial: leave --vs out")
    with progress(as_json) as observer:
        if vs is not None:
            base = vs if vs == "base" else _number(vs)
            held = explorer.explain(trial, base, workspace, study, sessions=sessions, space=space, observer=observer)
        else:
            found = explorer.profile(trial, workspace, study, sessions=sessions, space=space, observer=observer)
    if vs is not None:
        if as_json:
            return print_json("profile", {"explanations": [each.as_dict() for each in held]})
        return print_each(part for each in held for part in profile_tables.explanation_text(each))
    _write(found.values(), f"trial {trial}", figure, overlay)
    if as_json:
        return print_json("profile", {"profiles": [each.as_dict() for each in found.values()]})
    return print_each(part for each in found.values() for part in profile_tables.profile_text(trial, each))


def _write(profiles: Collection[Profile], title: str, figure: Path | None, overlay: Path | None) -> None:
    """Write the files that are asked for."""
    from explorer.profiles.overlay import overlay as laid_over
    from explorer.results.export import to_text
    from explorer.results.figures.page import write
    from explorer.results.figures.profile import profile as drawn

    if overlay is not None and len(profiles) > 1:
        devices = ", ".join(each.device for each in profiles)
        raise ExplorerError(f"--overlay shows one device, and the trial is profiled on {devices}")
    if figure is not None:
        write([drawn(each, title) for each in profiles], figure)
    if overlay is not None:
        to_text(json.dumps(laid_over(*profiles), indent=1), overlay)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ExplorerError(f"--vs '{text}' is no trial; allowed: the number of a trial, or base")
    return int(text)


COMMANDS: tuple[Callable[..., None], ...] = (profile,)
