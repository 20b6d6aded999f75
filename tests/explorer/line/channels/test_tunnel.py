"""A real tracker and server behind a real SSH server: reached through it, and what is said where that fails."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import explorer
from explorer.core.errors import DeviceError
from explorer.line.channels import tunnel
from explorer.line.device import rpc
from explorer.space.devices import THROUGH
from tests import ROOT, forks
from tests.boards import board
from tests.ssh_server import Machine, machine

CORES = sorted(os.sched_getaffinity(0))
KEY = "far"


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, str]]:
    """A machine that SSH reaches, and the address of a tracker there."""
    folder = tmp_path_factory.mktemp("ssh")
    with (
        machine(folder) as there,
        board(KEY, CORES[:1], folder / "board.log") as tracker,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PATH", f"{there.programs}:{os.environ['PATH']}")
        yield there, tracker
        for each in tunnel._TUNNELS.values():
            each._master.communicate()
        tunnel._TUNNELS.clear()


def ports() -> set[int]:
    """Return the ports that the processes of this test, but those of the board, listen at; a fork has its parent's."""
    alive = {psutil.Process(), *psutil.Process().children(recursive=True)}
    for far in forks.running("tests.boards"):
        alive -= {far, *far.children(recursive=True)}
    found = set[int]()
    for each in alive:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            listening = (c for c in each.net_connections() if c.status == psutil.CONN_LISTEN)
            found |= {c.laddr.port for c in listening}
    return found


def test_a_device_is_reached_without_a_port_here(reached: tuple[Machine, str]) -> None:
    there, tracker = reached
    address = f"{tracker}{THROUGH}{there.name}"
    before = ports()
    for _ in range(2):
        session = rpc.connect(address, KEY, 60, patience=20)
        assert int(session.get_function("runtime.NumThreads")()) == 1
        sent = os.urandom(3_000_000)
        session.upload(bytearray(sent), "file")
        assert bytes(session.download("file")) == sent
        assert [each for each in psutil.Process().children(recursive=True) if each.name() == "ssh"]
        assert ports() <= before
        session.get_function("CloseRPCConnection")()
        del session
    assert len(tunnel._TUNNELS) == 1


def test_a_device_is_checked_through_ssh(reached: tuple[Machine, str], tmp_path: Path) -> None:
    there, tracker = reached
    entry = f'[board]\ntracker = "{tracker}"\nssh = "{there.name}"\nkey = "{KEY}"\n'
    (tmp_path / "devices.toml").write_text(entry)
    found = explorer.check_device("board", tmp_path / "devices.toml")
    assert (found.tracker, found.server, found.compiler, found.refusal) == (True, True, True, "")
    assert found.address == f"{tracker} through ssh {there.name}"
    assert found.peaks


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (
            "stranger",
            r"ssh does not reach \S+@stranger \(.*Permission denied.*\); 'ssh -o BatchMode=yes \S+ true' must do",
        ),
        ("unknown", r"ssh does not reach unknown \(Host key verification failed.*\)"),
    ],
)
def test_ssh_that_is_refused_is_one_sentence(reached: tuple[Machine, str], which: str, said: str) -> None:
    there, tracker = reached
    with pytest.raises(DeviceError, match=f"^{said}") as refused:
        rpc.connect(f"{tracker}{THROUGH}{getattr(there, which)}", KEY, 60)
    assert "\n" not in str(refused.value)


def test_a_far_port_that_nobody_listens_at_is_one_sentence(reached: tuple[Machine, str]) -> None:
    there, _ = reached
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    address = f"127.0.0.1:{port}{THROUGH}{there.name}"
    with pytest.raises(
        DeviceError, match=rf"^no RPC tracker answers at {address} \(.*refused.*\); start .* {there.name}"
    ):
        rpc.connect(address, KEY, 60)


def test_a_machine_without_ssh_is_told_so(reached: tuple[Machine, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match=r"^there is no program ssh, to reach pi@elsewhere with; install OpenSSH"):
        rpc.connect(f"127.0.0.1:9190{THROUGH}pi@elsewhere", KEY, 60)


OPEN = """
import sys, time
from explorer.line.channels import tunnel
print(tunnel.through(sys.argv[1])._folder, flush=True)
time.sleep(600)
"""


def test_the_connection_ends_with_the_process_and_its_folder_is_gone(reached: tuple[Machine, str]) -> None:
    there, _ = reached
    process = subprocess.Popen([sys.executable, "-c", OPEN, there.name], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    assert re.fullmatch(r"dlas-ssh-\w+", folder.name)
    assert folder.stat().st_mode & 0o777 == 0o700
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    process.stdout.close()
    assert not psutil.wait_procs(children, timeout=20)[1]
    assert not folder.exists()
