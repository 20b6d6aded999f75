"""Address of a TVM RPC tracker → the server of a device that it grants, or in one sentence why it grants none.

TVM's own client of a tracker waits a minute where nothing listens, and for ever for a program that says nothing.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from tvm.rpc import base
from tvm.rpc.base import TrackerCode

from explorer.core.errors import DeviceError
from explorer.line.channels import local, tunnel
from explorer.line.execution import current
from explorer.space.devices import THROUGH

ANSWER_SECONDS = 5.0  # until a tracker that says nothing is given up
QUIET_SECONDS = 10.0  # that a device's turn is waited for before the user is told
PRIORITY = 1  # as TVM's own clients have it: who asks first is served first


class Server(NamedTuple):
    """A server that a tracker grants for one session, with the key that it expects of the client."""

    host: str
    port: int
    match: str


class Tracker:
    """A connection to a tracker.

    Parameters
    ----------
    address
        ``"host:port"``.
    key
        That of the device which is looked for there.

    Raises
    ------
    DeviceError
        If nothing answers there, or what answers is no tracker.
    """

    def __init__(self, address: str, key: str) -> None:
        self._address, self._key = address, key
        self._socket, refusal = self._connected()
        try:
            self._socket.sendall(struct.pack("<i", base.RPC_TRACKER_MAGIC))
            (said,) = struct.unpack("<i", base.recvall(self._socket, 4))
        except OSError as error:
            if why := refusal():
                raise self._nobody(why) from error
            raise self._no_tracker(error) from error
        if said != base.RPC_TRACKER_MAGIC:
            raise self._no_tracker("it answers in another protocol")

    def _connected(self) -> tuple[socket.socket, Callable[[], str]]:
        """Return a connection to the tracker, and what says why it was closed before an answer, if that is known."""
        place, _, destination = self._address.partition(THROUGH)
        host, _, port = place.rpartition(":")
        if destination:
            connection = tunnel.through(destination).connection(host, int(port))
            connection.socket.settimeout(ANSWER_SECONDS)
            return connection.socket, connection.refusal
        try:
            return socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS), lambda: ""
        except OSError as error:
            raise self._nobody(error) from error

    def close(self) -> None:
        """End the connection, and with it a request that waits."""
        self._socket.close()

    def servers(self) -> int:
        """Return how many servers are registered for the device."""
        try:
            _, summary = self._answer(TrackerCode.SUMMARY)
            return sum(server["key"] == f"server:{self._key}" for server in summary["server_info"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise self._no_tracker(error) from error

    def granted(self, seconds: float) -> Server:
        """Return a server of the device, for which others may have to be waited.

        Raises
        ------
        DeviceError
            If there is none, or all serve other sessions for so many `seconds`.
        """
        if not (how_many := self.servers()):
            what = f"the tracker at {self._address} has no server for device '{self._key}'"
            raise DeviceError(f"{what}; {how_to_serve(self._address, self._key)}")
        self._socket.settimeout(seconds)
        try:
            self._ask(TrackerCode.REQUEST, self._key, "", PRIORITY)
            if seconds > QUIET_SECONDS and not self._has_answered(QUIET_SECONDS):
                current().note(f"device '{self._key}' serves another session; waiting for it, {seconds:.0f} s at most")
            _, (host, port, match) = base.recvjson(self._socket)
            return Server(host, port, match)
        except TimeoutError as error:
            raise DeviceError(local.busy(self._address, self._key, how_many)) from error
        except (OSError, ValueError, TypeError) as error:
            raise self._no_tracker(error) from error

    def _answer(self, *message: object) -> Any:
        self._ask(*message)
        return base.recvjson(self._socket)

    def _has_answered(self, seconds: float) -> bool:
        """Wait for so many seconds until the tracker answers; tell whether it has."""
        waiting = select.poll()  # `select.select` takes no descriptor above 1023
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(1e3 * seconds))

    def _ask(self, *message: object) -> None:
        # Workaround: TVM 0.27: its own function sends the length by itself, and the system then holds the message back
        # until the length is acknowledged, for 40 ms; tests/workarounds
        text = json.dumps(message).encode()
        self._socket.sendall(struct.pack("<i", len(text)) + text)

    def _nobody(self, cause: object) -> DeviceError:
        how = how_to_serve(self._address, self._key)
        return DeviceError(f"no RPC tracker answers at {self._address} ({cause}); {how}")

    def _no_tracker(self, cause: object) -> DeviceError:
        self.close()
        return DeviceError(
            f"the program that listens at {self._address} does not answer as an RPC tracker does ({cause}); if it is "
            f"one, start it again, else give device '{self._key}' the address of its tracker, which is not that of its "
            "server"
        )


def how_to_serve(tracker: str, key: str, threads: int | None = None) -> str:
    """Return the sentence with the commands that bring the device up."""
    place, _, machine = tracker.partition(THROUGH)
    host, _, port = place.rpartition(":")
    environment = f"TVM_NUM_THREADS={threads} " if threads else ""
    alone = "--host 127.0.0.1 " if machine else ""  # or its server would answer the whole network
    end = int(port) + 1  # TVM's own end of ports is 9199, and a tracker at a port above it does not start
    return (
        f"start the tracker{f' on {machine}' if machine else ''} with 'python -m tvm.exec.rpc_tracker --host {host} "
        f"--port {port} --port-end {end}' and, on the device, "
        f"'{environment}python -m tvm.exec.rpc_server {alone}--tracker {place} --key {key} --port 9090 --port-end 9199'"
    )
