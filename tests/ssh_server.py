"""A real SSH server of this machine at a loopback port, with keys of its own, and a program ``ssh`` that knows it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NEEDED = ("ssh", "ssh-keygen")
SECONDS = 20
CONFIG = """
Host board stranger unknown
  HostName 127.0.0.1
  Port {port}
  IdentitiesOnly yes
  GlobalKnownHostsFile /dev/null
Host board unknown
  IdentityFile {folder}/user
Host stranger
  IdentityFile {folder}/stranger
Host board stranger
  UserKnownHostsFile {folder}/known
Host unknown
  UserKnownHostsFile /dev/null
"""
SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


@dataclass(frozen=True)
class Machine:
    """What SSH reaches: `name` as the user that runs this, whose key the server knows; `stranger` has another key."""

    name: str
    stranger: str
    unknown: str
    port: int
    programs: Path


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Run the server; its clients are those that find ``ssh`` in the folder `programs` first."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if SSHD is None or missing:
        pytest.skip(f"there is no {missing[0] if missing else 'sshd'}: apt install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root asks for it
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for key in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    (folder / "server").write_text(SERVER.format(port=port, folder=folder))
    (programs := folder / "programs").mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    (programs / "ssh").chmod(0o700)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "server")], stderr=log, start_new_session=True)
    try:
        _await(port, folder / "log")
        yield Machine(f"{getpass.getuser()}@board", f"{getpass.getuser()}@stranger", "unknown", port, programs)
    finally:
        server.kill()
        server.wait()


def _await(port: int, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise AssertionError(log.read_text())
