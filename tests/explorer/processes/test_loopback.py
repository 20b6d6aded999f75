"""The loopback server: pinned to its cores, and gone with its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from explorer.core.errors import DeviceError
from explorer.processes import loopback, temporary
from explorer.space.devices import HERE

CORES = sorted(os.sched_getaffinity(0))


def test_the_server_is_pinned(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with loopback.server("local", CORES[:1], tmp_path / "log"):
        (server,) = (child for child in psutil.Process().children() if child.pid not in before)
        assert server.cpu_affinity() == CORES[:1]


def test_its_sessions_have_their_files_where_libraries_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "folder", lambda: str(tmp_path))
    with loopback.server("local", CORES[:1], tmp_path / "log") as address:
        assert address.startswith(f"{HERE}{tmp_path}/dlas-device-")


def test_what_a_server_has_left_that_was_killed_with_its_explorer_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "folder", lambda: str(tmp_path))
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(loopback.server("local", CORES[:1], tmp_path / "log"))
        alive = Path(address.removeprefix(HERE)).parent
        assert list(loopback.abandoned(tmp_path)) == []
        left = tmp_path / f"{loopback.PREFIX}left"
        (left / "session-1").mkdir(parents=True)
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(str(left / loopback.SOCKET))
            listener.listen()
        assert list(loopback.abandoned(tmp_path)) == [], "it may be about to listen"
        os.utime(left, (0, 0))
        stack.enter_context(loopback.server("other", CORES[:1], tmp_path / "log"))
        assert alive.exists()
        assert not left.exists()


def test_siblings_of_a_physical_core_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3, 5})
    for core, siblings in {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}.items():
        folder = tmp_path / f"cpu{core}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    assert loopback.own_cores(tmp_path) == (0, 2, 5, 1, 3), "core 5 says nothing of siblings"


def test_a_core_that_this_process_may_not_use_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert loopback.cores_of("half", [1]) == (1,)
    assert sorted(loopback.cores_of("half", None)) == [0, 1]
    with pytest.raises(DeviceError, match=r"device 'half' has core 2, 5 in its entry, and this process may use 0, 1: "):
        loopback.cores_of("half", [5, 1, 2])


PARENT = """
import sys, time
from pathlib import Path
from explorer.processes import loopback
with loopback.server("local", [0], Path(sys.argv[1]) / "log") as tracker:
    print(tracker, flush=True)
    time.sleep(600)
"""


def test_the_server_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    (server,) = psutil.Process(parent.pid).children()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    server.wait(timeout=20)


def test_the_server_ends_if_its_parent_died_while_it_started(tmp_path: Path) -> None:
    (folder := tmp_path / "device").mkdir()
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "explorer.processes.loopback", str(folder), "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert server.stdin
    assert server.stdout
    server.stdin.close()
    server.stdout.close()  # nobody is there to be told that it listens
    assert server.wait(timeout=60) == -signal.SIGKILL
    assert "ended by BrokenPipeError" in (tmp_path / "log").read_text()
    assert not folder.exists()
