"""Machine that this one reaches by SSH, and an address there → a connection to it, over one SSH connection for all.

No port is opened here, as ``ssh -L`` would for every user of this machine: each connection is one of ``ssh -W``.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from explorer.core.errors import DeviceError
from explorer.line.channels.master import SOCKET

MASTER = Path(__file__).with_name("master.py")
CONNECT_SECONDS = 20  # until a machine that says nothing is given up
OPTIONS = (
    # Nobody is there to type a password, or to say that a new machine is the right one.
    *("-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "LogLevel=ERROR"),
    # A machine that is gone is known to be so in a minute.
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
    # Nothing but what is asked for here, whatever the user's configuration has for that machine.
    *("-o", "ClearAllForwardings=yes", "-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "PermitLocalCommand=no"),
    *("-a", "-x", "-T", "-S", SOCKET),
)

REFUSAL_SECONDS = 2.0  # until ssh, whose connection is closed, has said why

_TUNNELS: dict[str, Tunnel] = {}
_OPENING = threading.Lock()


class Tunnel:
    """An SSH connection to `destination`, ``"user@host"``, that ends with this process.

    Raises
    ------
    DeviceError
        If there is no ssh, or it does not connect.
    """

    def __init__(self, destination: str) -> None:
        if (program := shutil.which("ssh")) is None:
            raise DeviceError(f"there is no program ssh, to reach {destination} with; install OpenSSH's client")
        self._program, self._destination = program, destination
        command = [program, *OPTIONS, "-M", "-N", "-o", "ControlPersist=no", "--", destination]
        self._master = subprocess.Popen(
            [sys.executable, "-I", "-S", str(MASTER), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._master.stdout is not None
        state, _, said = self._master.stdout.readline().decode(errors="replace").strip().partition(" ")
        if state != "folder":
            self._master.communicate()
            raise DeviceError(
                f"ssh does not reach {destination} ({said or 'it ended'}); "
                f"'ssh -o BatchMode=yes {destination} true' must do without a question"
            )
        self._folder = Path(said)

    @property
    def is_up(self) -> bool:
        """Whether connections can be had."""
        return self._master.poll() is None

    def connection(self, host: str, port: int) -> Connection:
        """Return a connection to an address as that machine has it; one that is refused there closes at once."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        ours, theirs = socket.socketpair()
        with theirs:
            command = [self._program, *OPTIONS, "-o", "ControlMaster=no", "-W", target, "--", self._destination]
            process = subprocess.Popen(
                command, cwd=self._folder, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE
            )
        return Connection(ours, process)


class Connection(NamedTuple):
    """A socket, and the process of ssh that passes on what comes there."""

    socket: socket.socket
    process: subprocess.Popen[bytes]

    def refusal(self) -> str:
        """Return what ssh said when the socket was closed; "" if it said nothing."""
        self.socket.close()
        try:
            _, said = self.process.communicate(timeout=REFUSAL_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        return (said.decode(errors="replace").strip().splitlines() or [""])[-1]


def through(destination: str) -> Tunnel:
    """Return the tunnel of this process to a machine, opened at the first call and again where it is gone."""
    with _OPENING:
        tunnel = _TUNNELS.get(destination)
        if tunnel is None or not tunnel.is_up:
            tunnel = _TUNNELS[destination] = Tunnel(destination)
        return tunnel
