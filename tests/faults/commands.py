"""A command line that runs a study → its end, with a fault struck when a stage begins."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests import ROOT

HANG_SECONDS = 60.0  # beyond what a run without a fault takes
# Process of the explorer → what its command line has.
PROCESSES: Mapping[str, str] = {
    "torch": r"explorer\.processes\.worker torch",
    "tvm": r"explorer\.processes\.worker tvm",
    "server": r"explorer\.processes\.loopback",
    "session": r"explorer\.processes\.loopback",
    "builder": r"multiprocessing\.forkserver",
    "ray worker": r"^ray::",
    "ray node": r"^\S*raylet ",
}
FORKED = ("session", "builder")

Strike = Callable[["Running"], None]


@dataclass
class Ended:
    """How a command ended, and everything that it printed."""

    code: int
    printed: str
    seconds: float
    hung: bool = False
    stages: list[str] = field(default_factory=list)

    @property
    def has_traceback(self) -> bool:
        """Whether a user saw the inside of the program."""
        return "Traceback (most recent call last)" in self.printed


class Running:
    """A command that runs, seen from outside."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def find(self, name: str, seconds: float = 5.0) -> list[psutil.Process]:
        """Return the processes of that name, once there are some; none if the command ends before."""
        if name == "main":
            return [psutil.Process(self.process.pid)]
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if found := [each for each in self._children() if _is(each, name)]:
                return found
            time.sleep(0.005)
        return []

    def _children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return list(psutil.Process(self.process.pid).children(recursive=True))
        return []


def _is(process: psutil.Process, name: str) -> bool:
    """Tell whether a process is of that name; what is forked has the command line of what it was forked from."""
    with contextlib.suppress(psutil.Error):
        line, parent = " ".join(process.cmdline()), process.parent()
        if not re.search(PROCESSES[name], line):
            return False
        is_forked = parent is not None and " ".join(parent.cmdline()) == line
        return is_forked == (name in FORKED) if name in (*FORKED, "server") else True
    return False


def run(
    arguments: Sequence[str],
    folder: Path,
    limit: float,
    stage: str = "",
    strike: Strike | None = None,
    delay: float = 0.0,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run ``dlas arguments`` to its end, or for `limit` seconds.

    Parameters
    ----------
    stage, strike, delay
        What is called, so many seconds after a stage of that name has first begun.
    """
    reading, writing = os.pipe()
    start = time.monotonic()
    output = folder / "printed.txt"
    with output.open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.told", str(writing), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", **(environment or {})},
        )
    os.close(writing)
    running, stages, struck = Running(process), list[str](), threading.Event()
    for line in _lines(reading, process, start + limit):
        stages.append(line)
        if strike and line == stage and not struck.is_set():
            struck.set()
            threading.Thread(target=_after, args=(delay, strike, running), daemon=True).start()
    hung = False
    try:
        process.wait(max(0.1, start + limit - time.monotonic()))
    except subprocess.TimeoutExpired:
        hung = True
        _end(process)
    return Ended(process.returncode, output.read_text(errors="replace"), time.monotonic() - start, hung, stages)


def _lines(descriptor: int, process: subprocess.Popen[bytes], end: float) -> Iterator[str]:
    """Yield lines from a pipe until its writer ends, or until the time `end`."""
    os.set_blocking(descriptor, False)
    rest = b""
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while time.monotonic() < end:
            ended = process.poll() is not None
            chunk = pipe.read()
            *lines, rest = (rest + (chunk or b"")).split(b"\n")
            yield from (line.decode() for line in lines)
            if ended and not chunk:
                return
            time.sleep(0.002)


def _after(delay: float, strike: Strike, running: Running) -> None:
    time.sleep(delay)
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        strike(running)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that hangs, with all its processes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
