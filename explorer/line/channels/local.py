"""Address of the server that the explorer runs on this machine → session on it, through a Unix socket.

The socket lies in a folder that its user alone enters, and either end makes sure that the other one is the same user's.
`explorer.processes.loopback` listens there. It serves one connection at a time: it says `TURN`, is told for how many
seconds, gets the two pipes of TVM's client, and serves these.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from explorer.core.errors import DeviceError
from explorer.space.devices import HERE

TURN = b"turn"
SECONDS = struct.Struct("<q")
CREDENTIALS = struct.Struct("3i")  # process, user and group at the other end of a Unix socket


def is_local(address: str) -> bool:
    """Tell whether an address is that of a server which the explorer runs on this machine."""
    return address.startswith(HERE)


def connected(address: str, key: str) -> socket.socket:
    """Return a connection to the server at an address, which waits for its turn.

    Raises
    ------
    DeviceError
        If no server of this user listens there.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        with short_path(Path(address.removeprefix(HERE))) as path:
            connection.connect(path)
        if not is_own(connection):
            raise PermissionError("it is another user's")
    except OSError as error:
        connection.close()
        raise DeviceError(f"the server of device '{key}' at {address} does not answer ({error})") from error
    return connection


def granted(address: str, key: str, seconds: int, patience: float) -> socket.socket:
    """Return a connection that has its turn, for which others may have to be waited; see `device.rpc.connect`.

    Raises
    ------
    DeviceError
        If the server does not answer, or serves other sessions for so many seconds of `patience`.
    """
    connection = connected(address, key)
    try:
        connection.settimeout(patience)
        if connection.recv(len(TURN)) != TURN:
            raise ConnectionResetError("it ended")
        connection.sendall(SECONDS.pack(seconds))
    except OSError as error:
        connection.close()
        said = busy(address, key) if isinstance(error, TimeoutError) else None
        raise DeviceError(said or f"the server of device '{key}' at {address} does not answer ({error})") from error
    return connection


def busy(address: str, key: str, servers: int = 1) -> str:
    """Return the sentence that all servers of a device serve others."""
    which = "the server" if servers == 1 else f"each of the {servers} servers"
    return (
        f"{which} of device '{key}' at {address} serves another session, and serves one at a time; "
        "try again when the study or check that holds it has ended, or start the server again to end that"
    )


def is_own(connection: socket.socket) -> bool:
    """Tell whether the process at the other end of a Unix socket is this user's."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, user, _ = CREDENTIALS.unpack(said)
    return bool(user == os.geteuid())


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give another path to the place of a Unix socket: its own may be longer than the 107 bytes that a socket takes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
