"""A workspace's studies → the Dash application: its page, what happens on it, and whom it answers."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dash import Dash, set_props
from flask import Response, abort, request

from explorer.dashboard.callbacks import register
from explorer.dashboard.page import Start, page
from explorer.dashboard.state import Studies

if TYPE_CHECKING:
    from flask import Flask

ASSETS = Path(__file__).parent / "assets"
HOSTS = ("127.0.0.1", "localhost")


def create(studies: Studies, port: int) -> Dash:
    """Return the application, which answers requests to this machine's own names at `port` alone."""
    app = Dash(
        __name__,
        title="dlas dashboard",
        update_title="",
        assets_folder=str(ASSETS),
        serve_locally=True,
        suppress_callback_exceptions=True,  # for buttons that stand in tables
        on_error=show_fault,
        enable_mcp=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = lambda: page(_start(studies))
    register(app, studies)
    guard(app.server, port, app.csp_hashes())
    return app


def _start(studies: Studies) -> Start:
    """Return what the page begins with: nothing where the records cannot be read, which its next look tells."""
    try:
        names = studies.names()
        return Start(names, studies.snapshot(names[0]) if names else None)
    except Exception:  # whatever it is, the page comes, says it and looks again
        traceback.print_exc(file=sys.stderr)
        return Start()


def guard(server: Flask, port: int, hashes: Sequence[str]) -> None:
    """Refuse requests under another host's name, and tell the browser to ask nobody else.

    A page elsewhere can point a name of its own at the loopback address; the browser then sends that name.
    """
    allowed = {f"{host}:{port}" for host in HOSTS}
    # WebGL programs of plotly.js are compiled by eval; its styles stand in elements.
    script = " ".join(["'self'", "'unsafe-eval'", *hashes])
    policy = (
        f"default-src 'self'; script-src {script}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )

    @server.before_request
    def _() -> None:
        if request.host not in allowed:
            abort(403, f"this page answers as {' or '.join(sorted(allowed))} alone")

    @server.after_request
    def _(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def show_fault(error: Exception) -> None:
    """Show what went wrong in one part of the page, which goes on with what it showed before."""
    traceback.print_exception(error, file=sys.stderr)
    set_props("problem", {"children": f"A part of the page could not be made: {error}"})
    set_props("problem-box", {"hidden": False})
