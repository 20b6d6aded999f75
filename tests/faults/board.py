"""A TVM RPC tracker and server of this machine's, and a proxy before the tracker that misbehaves when it is told to."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests import boards
from tests.faults.commands import Running, Strike
from tests.faults.strikes import Struck

HOST = "127.0.0.1"
KEY = "board"
WAYS = ("hangs", "refuses", "answers late", "cuts off")  # of a tracker
LATE_SECONDS = 3.0
CHUNK = 1 << 16


class Proxy:
    """Listens at `port` and passes everything on to the tracker, unless `way` is one of `WAYS`."""

    def __init__(self, tracker: int) -> None:
        self._tracker = tracker
        self.way = ""
        self._listening = socket.create_server((HOST, 0))
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
        with client, socket.create_connection((HOST, self._tracker)) as tracker, contextlib.suppress(OSError):
            self._connections += [client, tracker]
            passed = 0
            while True:
                for ready in select.select([client, tracker], [], [], 0.1)[0]:
                    chunk = ready.recv(CHUNK)
                    if not chunk:
                        return
                    if self.way == "answers late":
                        time.sleep(LATE_SECONDS)
                    while self.way == "hangs":
                        time.sleep(0.05)
                    (tracker if ready is client else client).sendall(chunk)
                    passed += len(chunk)
                    if self.way == "cuts off" and passed > 8:  # the greeting is through, the answer is not
                        return


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Proxy]:
    """Give the proxy of a board's tracker; the board has one core."""
    core = sorted(os.sched_getaffinity(0))[:1]
    with boards.board(KEY, core, folder / "board.log") as address:
        yield Proxy(int(address.rpartition(":")[2]))
