"""Connection to a process that serves TVM's RPC → session on it, over two pipes of TVM's own client."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any, Literal

from tvm import rpc
from tvm.rpc import _ffi_api, base

CARRY = Path(__file__).with_name("carry.py")
NUMBER = 20  # characters of a process's number at most

_CARRIERS: set[int] = set()  # processes of `CARRY` that this one has started, and that may have ended


def session(connection: socket.socket, how: Literal["hand_over", "relay"]) -> Any:
    """Return a session on the server at the other end of a connection, which is closed here.

    TVM's client takes an address of TCP, or a program that it starts with two pipes. Here that is
    `explorer.line.channels.carry`, which brings them to the connection by its function `how`.

    Raises
    ------
    Exception
        Of TVM's own kinds, if the other end does not serve.
    """
    _bury()
    hearing, told = os.pipe()
    with connection, os.fdopen(hearing, "rb") as heard:
        try:
            connection.setblocking(True)
            for descriptor in (connection.fileno(), told):
                os.set_inheritable(descriptor, True)
            program = (sys.executable, "-I", "-S", str(CARRY), how, str(connection.fileno()), str(told))
            return rpc.RPCSession(_ffi_api.CreatePipeClient(*program))
        finally:
            os.close(told)
            if number := heard.read(NUMBER):
                _CARRIERS.add(int(number))


def greet(connection: socket.socket, match: str, seconds: int) -> None:
    """Say to a server of TVM what its tracker has granted, as TVM's client does over TCP.

    Raises
    ------
    OSError
        If it serves somebody else, or is no such server.
    """
    key = f"client:{match} -timeout={seconds}".encode()
    connection.sendall(struct.pack("<2i", base.RPC_MAGIC, len(key)) + key)
    (code,) = struct.unpack("<i", base.recvall(connection, 4))
    if code != base.RPC_CODE_SUCCESS:
        raise ConnectionRefusedError("it expects another key")
    (length,) = struct.unpack("<i", base.recvall(connection, 4))
    base.recvall(connection, length)  # its own key


def _bury() -> None:
    """Take note of the ends of the programs whose sessions are closed."""
    # Workaround: TVM 0.27: it never does, and the system keeps each on its list; tests/workarounds
    for number in list(_CARRIERS):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(number, os.WNOHANG) == (0, 0):
                continue
        _CARRIERS.discard(number)
