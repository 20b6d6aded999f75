"""A workspace and a port → the page served on the loopback address until it is interrupted."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.core.errors import ExplorerError
from explorer.dashboard.state import Studies

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

HOST = "127.0.0.1"  # no other machine reaches it
MISSING = "the dashboard needs Dash: pip install 'dlas-explorer[dashboard]'"
NICENESS = 10  # so that a measurement on this machine comes first


@contextlib.contextmanager
def serving(workspace: Path, port: int) -> Iterator[BaseWSGIServer]:
    """Give a server of the page at `port`, 0 for a free one; `serve_forever` of it answers.

    Raises
    ------
    ExplorerError
        If Dash is not installed, or the port is taken.
    WorkspaceError
        If the workspace has no database of studies.
    """
    studies = Studies(workspace)
    with contextlib.closing(_bound(port)) as taken:
        try:
            from werkzeug.serving import make_server

            from explorer.dashboard.app import create
        except ImportError:
            raise ExplorerError(MISSING) from None
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
        app = create(studies, taken.getsockname()[1])
        yield make_server(HOST, taken.getsockname()[1], app.server, threaded=True, fd=taken.fileno())


def serve(workspace: Path, port: int, told: Callable[[str], None]) -> None:
    """Serve the page until it is interrupted; `told` takes its address once it answers.

    Raises
    ------
    ExplorerError, WorkspaceError
        See `serving`.
    """
    with serving(workspace, port) as server:
        os.nice(NICENESS)
        told(f"http://{HOST}:{server.port}/")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _bound(port: int) -> socket.socket:
    """Return a socket that listens at `port`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ExplorerError(
            f"port {port} cannot be taken ({error.strerror}); choose another one with --port, or 0 for a free one"
        ) from None
    return listening
