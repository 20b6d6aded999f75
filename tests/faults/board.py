"""A TVM RPC tracker and server of this machine's, each behind a proxy that misbehaves when it is told to."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests import boards
from tests.faults.commands import Running, Strike
from tests.faults.strikes import Struck

HOST = "127.0.0.1"
KEY = "board"
WAYS = ("hangs", "refuses", "answers late", "cuts off")  # of a tracker or a server
PORTS = range(20000, 64000)  # of five digits each, so that one takes the place of another in a message
LATE_SECONDS = 3.0
CHUNK = 1 << 16


class Proxy:
    """Listens at `port` and passes everything on to another one, unless `way` is one of `WAYS`.

    Parameters
    ----------
    to
        The other port.
    named
        A port that is named in what is passed on → one that is named in its place.
    """

    def __init__(self, to: int, named: Mapping[int, int] | None = None) -> None:
        self._to, self._named = to, named or {}
        self.way = ""
        self._listening = _listening()
        self.port = self._listening.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def misbehave(self, way: str, struck: Struck) -> Strike:
        """Return what makes it misbehave in one way, for connections that there are as for new ones."""

        def strike(running: Running) -> None:
            del running
            self.way, struck.hit = way, True
            if way in ("refuses", "cuts off"):
                for connection in self._connections:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)

        return strike

    def mend(self) -> None:
        """Pass everything on again."""
        self.way = ""

    def _listen(self) -> None:
        while True:
            taken, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.way == "refuses":
            client.close()
            return
        with client, socket.create_connection((HOST, self._to)) as other, contextlib.suppress(OSError):
            self._connections += [client, other]
            passed = 0
            while True:
                for ready in select.select([client, other], [], [], 0.1)[0]:
                    chunk = ready.recv(CHUNK)
                    if not chunk:
                        return
                    for port, instead in self._named.items():
                        chunk = chunk.replace(str(port).encode(), str(instead).encode())
                    if self.way == "answers late":
                        time.sleep(LATE_SECONDS)
                    while self.way == "hangs":
                        time.sleep(0.05)
                    (other if ready is client else client).sendall(chunk)
                    passed += len(chunk)
                    if self.way == "cuts off" and passed > 8:  # the greeting is through, the answer is not
                        return


class Board(NamedTuple):
    """The proxies of a board's tracker and server."""

    tracker: Proxy
    server: Proxy


def _listening() -> socket.socket:
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError):
            return socket.create_server((HOST, port))
    raise OSError("no port is free")


def _server(tracker: str) -> int:
    """Return the port of the only server that is registered with a tracker."""
    from tvm import rpc  # which takes seconds to import

    host, _, port = tracker.rpartition(":")
    [server] = rpc.connect_tracker(host, int(port)).summary()["server_info"]
    return int(server["addr"][1])


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Board]:
    """Give the proxies of a board, which has one core."""
    core = sorted(os.sched_getaffinity(0))[:1]
    with boards.board(KEY, core, folder / "board.log") as address:
        server = Proxy(port := _server(address))
        yield Board(Proxy(int(address.rpartition(":")[2]), {port: server.port}), server)
