"""What a guarded command starts is gone with its context, and with the process that holds it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.guard import guarded

ROOT = Path(__file__).parents[1]
# Starts a process of its own, as TVM's servers do, and prints the numbers of both.
STARTS = """
import os, subprocess
started = subprocess.Popen(["sleep", "60"])
print(os.getpid(), started.pid, flush=True)
started.wait()
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.guard import guarded
from tests.test_guard import printed

with guarded([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]), {}):
    print(*printed(Path(sys.argv[1])), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def printed(folder: Path) -> list[int]:
    """Return the numbers of the processes that a command in `folder` has started."""
    end = time.monotonic() + 30
    while not (text := (folder / "log").read_text()).endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.01)
    return [int(number) for number in text.split()]


def left(processes: list[int]) -> list[int]:
    """Return those of two processes that are there for long."""
    assert len(processes) == 2
    end = time.monotonic() + 10
    while (there := [number for number in processes if psutil.pid_exists(number)]) and time.monotonic() < end:
        time.sleep(0.01)
    return there


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), STARTS]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert left([int(number) for number in ended.stdout.split()]) == []


def test_it_ends_with_its_context(tmp_path: Path) -> None:
    with guarded([sys.executable, "-c", STARTS], tmp_path, {}) as process:
        started = printed(tmp_path)
        assert all(map(psutil.pid_exists, started))
        assert process.poll() is None
    assert left(started) == []


def test_a_command_that_ends_is_known_by_its_exit_code(tmp_path: Path) -> None:
    with guarded([sys.executable, "-c", "print(open('log').read(), __import__('os').environ['A']); exit(7)"],
                 tmp_path, {"A": "b"}) as process:  # fmt: skip
        assert process.wait(30) == 7
    assert (tmp_path / "log").read_text().split() == ["b"]
