"""Sessions on this machine's server, through a Unix socket: one at a time, over in time, and its own user's alone."""

from __future__ import annotations

import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from explorer.core.errors import DeviceError
from explorer.line.channels import local, pipes
from explorer.line.device import rpc
from explorer.processes import loopback, temporary
from explorer.space.devices import HERE

CORES = sorted(os.sched_getaffinity(0))
LONG = "a-name-of-a-folder-that-is-long-" * 4  # longer than the path of a Unix socket may be
STRANGER = 65534  # a user that no file here belongs to

BECOME = f"import os; os.setgroups([]); os.setresgid(*[{STRANGER}] * 3); os.setresuid(*[{STRANGER}] * 3)"
TRY = f"""
import socket, sys
from pathlib import Path
path = Path(sys.argv[1])
{BECOME}
def tried(what, do):
    try:
        do()
    except OSError as error:
        print(what, type(error).__name__)
    else:
        print(what, "done")
tried("connect", lambda: socket.socket(socket.AF_UNIX).connect(str(path)))
tried("list", lambda: list(path.parent.iterdir()))
tried("write", lambda: path.with_name("library.so").write_bytes(b""))
tried("move", lambda: path.parent.rename(f"{{path.parent}}-moved"))
"""
ASK = f"""
import socket, sys
{BECOME}
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
print(connection.recv(8))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with loopback.server("local", CORES[:1], tmp_path_factory.mktemp("served") / "log") as address:
        yield address


def threads_of(session: Any) -> int:
    return int(session.get_function("runtime.NumThreads")())


def test_the_folder_is_its_users_alone_and_gone_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LONG).mkdir()
    monkeypatch.setattr(temporary, "folder", lambda: str(tmp_path / LONG))
    with loopback.server("local", CORES[:1], tmp_path / "log") as address:
        folder = Path(address.removeprefix(HERE)).parent
        assert folder.parent == tmp_path / LONG
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        session = rpc.connect(address, "local", 60)
        assert threads_of(session) == 1
        session.upload(bytearray(b"bytes"), "file")
        assert bytes(session.download("file")) == b"bytes"
        files = list(folder.rglob("file"))
        assert len(files) == 1, "what is sent there lies in the folder as well"
    assert not folder.exists()


def test_a_session_waits_for_its_turn_and_is_told_when_it_has_none(served: str) -> None:
    session = rpc.connect(served, "local", 60)
    start = time.monotonic()
    with pytest.raises(DeviceError, match="serves another session, and serves one at a time; try again when"):
        rpc.connect(served, "local", 60, patience=0.5)
    assert time.monotonic() - start < 2
    threading.Timer(0.3, session.get_function("CloseRPCConnection")).start()
    assert threads_of(rpc.connect(served, "local", 60, patience=20)) == 1


def test_a_session_that_takes_too_long_is_ended_and_the_next_one_served(served: str) -> None:
    session = rpc.connect(served, "local", 1)
    (server,) = forked_by(served)
    server.suspend()
    with pytest.raises(Exception, match="1 s are over"):
        threads_of(session)
    assert threads_of(rpc.connect(served, "local", 60, patience=20)) == 1


def test_a_session_that_is_killed_is_seen_at_once_and_the_next_one_served(tmp_path: Path) -> None:
    with loopback.server("local", CORES[:1], tmp_path / "log") as address:
        session = rpc.connect(address, "local", 60)
        (server,) = forked_by(address)
        server.kill()
        with pytest.raises(Exception, match=r"Pipe|Channel|kReturn"):
            session.upload(bytearray(10_000_000), "more than a pipe holds")
        assert threads_of(rpc.connect(address, "local", 60, patience=20)) == 1
    assert "a session ended with exit code -9" in (tmp_path / "log").read_text()


def forked_by(address: str) -> list[psutil.Process]:
    """Return the sessions that the server at an address has forked."""
    work = f"{Path(address.removeprefix(HERE)).parent}/{loopback.SESSION}"
    return [each for each in psutil.process_iter(["cwd"]) if str(each.info["cwd"]).startswith(work)]


def test_programs_that_carry_pipes_end_with_their_session(served: str) -> None:
    before = set(pipes._CARRIERS)
    for _ in range(5):
        session = rpc.connect(served, "local", 60, patience=20)
        session.get_function("CloseRPCConnection")()
        del session
    assert len(pipes._CARRIERS - before) <= 2, "the others are not even on the system's list any more"


@pytest.mark.parametrize("word", [b"", b"12345678", b"123"], ids=["nothing", "no pipes", "too few bytes"])
def test_a_client_that_says_no_sense_harms_nobody(served: str, word: bytes) -> None:
    with local.connected(served, "local") as connection:
        assert connection.recv(8) == local.TURN
        connection.sendall(word)
    assert threads_of(rpc.connect(served, "local", 60, patience=20)) == 1


def test_a_server_that_is_gone_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    with pytest.raises(
        DeviceError, match=f"^the server of device 'key' at unix:{tmp_path}/socket does not answer .*ref"
    ):
        rpc.connect(f"unix:{tmp_path}/socket", "key", 60)


def test_what_others_listen_at_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(DeviceError, match=r"does not answer \(it is another user's\)"):
            rpc.connect(f"unix:{tmp_path}/socket", "key", 60)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_neither_reaches_the_device_nor_sees_its_folder(served: str) -> None:
    """The folder keeps others out; and where somebody opens it, the server asks who they are."""
    path = Path(served.removeprefix(HERE))
    session = rpc.connect(served, "local", 60, patience=20)
    assert as_stranger(path) == dict.fromkeys(("connect", "list", "write", "move"), "PermissionError")
    path.parent.chmod(0o755)
    path.chmod(0o777)
    try:
        assert as_stranger(path)["connect"] == "done"
        asked = subprocess.Popen([sys.executable, "-c", ASK, str(path)], stdout=subprocess.PIPE)
        assert asked.stdout
        assert not select.select([asked.stdout], [], [], 0.5)[0], "it waits for its turn as others do"
        assert threads_of(session) == 1
        session.get_function("CloseRPCConnection")()
        assert asked.communicate(timeout=20)[0] == b"b''\n", "and then is not served"
    finally:
        path.parent.chmod(0o700)
    assert threads_of(rpc.connect(served, "local", 60, patience=20)) == 1


def as_stranger(path: Path) -> dict[str, str]:
    """Return what another user can do to a socket and its folder."""
    program = [sys.executable, "-c", TRY, str(path)]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in said.splitlines())
