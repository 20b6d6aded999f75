"""Arguments of the commands that make and verify bundles → one call each, and what it returns as text or JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import explorer
from explorer.bundling import SESSIONS
from explorer.cli.terminal import WORKSPACE, AsJson, InWorkspace, OfStudy, print_each, print_json


def bundle(
    trial: Annotated[int, typer.Argument(help="Number of a complete trial.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; it must not exist, or be empty.")],
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    space: Annotated[
        str | None, typer.Option(help="The study's search-space file, if it is no longer where it was.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Write a trial's network into a folder to deploy: library, manifest, samples, run.py and an example in C++."""
    made = explorer.bundle(trial, output, workspace, study, space)
    if as_json:
        return print_json("bundle", {"path": str(output), "manifest": made.model_dump(mode="json")})
    from explorer.bundles.summary import lines

    return print_each(lines(made, output))


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    device: Annotated[
        str | None, typer.Option(help="Name of a device to run it on; this machine if not given.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Devices file; the bundled one if not given.")] = None,
    sessions: Annotated[int, typer.Option(min=1, help="In which the latency is taken.")] = SESSIONS,
    as_json: AsJson = False,
) -> None:
    """Run a bundle and print whether its outputs and its latency are those on record; exit with 1 for wrong outputs."""
    verdict = explorer.verify(folder, device, file, sessions)
    if as_json:
        print_json("verify", verdict.as_dict())
    else:
        print_each(verdict.lines())
    if not verdict.agree:
        raise typer.Exit(1)


COMMANDS: tuple[Callable[..., None], ...] = (bundle, verify)  # in the help's order
