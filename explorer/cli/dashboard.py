"""Arguments of the command that serves the live page → the page, until it is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from explorer.cli.terminal import WORKSPACE, AsJson, InWorkspace, print_json

PORT = 8050


def dashboard(
    workspace: InWorkspace = WORKSPACE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 for a free one.")] = PORT,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve a live page of the workspace's studies, for this machine alone; it only reads."""
    from explorer.dashboard.server import serve

    def told(address: str) -> None:
        if as_json:
            print_json("dashboard", {"address": address})
        else:
            print(f"the dashboard: {address} (Ctrl-C ends it)")
        sys.stdout.flush()
        if open_browser:
            typer.launch(address)

    serve(workspace, port, told)


COMMANDS: tuple[Callable[..., None], ...] = (dashboard,)
