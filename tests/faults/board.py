"""A TVM RPC tracker and server of this machine's, each behind a proxy that misbehaves when it is told to."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import threading
import time
from pathlib import Path

from tests import boards
from tests.faults.commands import Running, Strike
from tests.faults.strikes import Struck

HOST = "127.0.0.1"
KEY = "board"
WAYS = ("hangs", "refuses", "answers late", "cuts off")  # of a tracker or a server
PORTS = range(20000, 64000)  # of five digits each, so that one takes the place of another in a message
HANG_SECONDS = 20.0  # longer than the explorer waits for an answer
CHUNK = 1 << 16


class Proxy:
    """Listens at `port` and passes everything on to another one, unless `way` is one of `WAYS`.

    Parameters
    ----------
    to
        The other port.
    late
        Seconds by which each message is late, where messages are.

    Attributes
    ----------
    named : a port that is named in what is passed on → one that is named in its place
    """

    def __init__(self, to: int, late: float) -> None:
        self.to, self._late, self.named = to, late, dict[int, int]()
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
            if way == "hangs":
                time.sleep(HANG_SECONDS)
                self.mend()
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
        with contextlib.suppress(OSError), client, socket.create_connection((HOST, self.to)) as other:
            self._connections += [client, other]
            passed = 0
            while True:
                for ready in select.select([client, other], [], [], 0.1)[0]:
                    chunk = ready.recv(CHUNK)
                    if not chunk:
                        return
                    for port, instead in self.named.items():
                        chunk = chunk.replace(str(port).encode(), str(instead).encode())
                    if self.way == "answers late":
                        time.sleep(self._late)
                    while self.way == "hangs":
                        time.sleep(0.05)
                    (other if ready is client else client).sendall(chunk)
                    passed += len(chunk)
                    if self.way == "cuts off" and passed > 8:  # the greeting is through, the answer is not
                        return


class Board:
    """A board of one core, with proxies of its tracker and of its server; it lasts as long as `stack`."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._log, self._stack = folder / "board.log", stack
        self.tracker, self.server = Proxy(0, late=3.0), Proxy(0, late=0.01)
        self._start()

    def mend(self) -> None:
        """Pass everything on again, and start the server if it has ended: TVM's does so where a session is cut off."""
        self.tracker.mend()
        self.server.mend()
        try:
            socket.create_connection((HOST, self.tracker.to)).close()
        except ConnectionRefusedError:
            self._start()

    def _start(self) -> None:
        core = sorted(os.sched_getaffinity(0))[:1]
        address = self._stack.enter_context(boards.board(KEY, core, self._log))
        self.tracker.to, self.server.to = int(address.rpartition(":")[2]), _server(address)
        self.tracker.named = {self.server.to: self.server.port}


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
