"""Arguments of the command that writes a report of a study → one call, and the report as a page, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import explorer
from explorer.cli.terminal import WORKSPACE, AsJson, InWorkspace, OfStudy, WithEmulated, print_json


def report(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; report.html, or report.md, if not given.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write Markdown, with images beside it, in place of a page.")
    ] = False,
    emulated: WithEmulated = False,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Write what a study says about the questions of the stack as one page, and the next space to run beside it."""
    with explorer.open(workspace, study) as opened:
        found = opened.report(emulated)
        if as_json:
            return print_json("report", found.as_dict())
        page = found.write(output or Path("report.md" if markdown else "report.html"), markdown)
        print(f"the report: {page}")


COMMANDS: tuple[Callable[..., None], ...] = (report,)
