"""Time that a process was running: what it was stopped for counts neither as used up nor as silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from explorer.core.measurement import clocks
from tests import ROOT

STOPPED = 3.0  # seconds
WAITING = """
import time
from explorer.core.measurement import clocks
start, begun = clocks.running(), time.monotonic()
print("waits", flush=True)
for seconds in clocks.waits(2.5):
    time.sleep(seconds)
print(time.monotonic() - begun, clocks.running() - start)
"""
ASKING = """
import sys
from pathlib import Path
from explorer.processes.pool import Worker
worker = Worker("torch", "torch 1", Path(sys.argv[1]), 1)
worker.request({"call": "os:getpid", "arguments": {}}, 60)
print("waits", flush=True)
print(worker.request({"call": "tests.explorer.core.measurement.test_clocks:slow", "arguments": {}}, 2.5))
worker.stop()
"""


def slow() -> str:
    """Answer after 1.5 s of this process' own time."""
    for seconds in clocks.waits(1.5):
        time.sleep(seconds)
    return "answered"


def stopped_for_a_while(code: str, *arguments: str) -> str:
    """Return what a program prints after its first line, with it and its workers stopped in between."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdout.readline() == "waits\n"
        time.sleep(0.5)
        whole = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        for pid in whole:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED)
        for pid in whole:
            os.kill(pid, signal.SIGCONT)
        told, _ = process.communicate(timeout=60)
    return told


def test_a_standstill_is_no_time_that_has_passed() -> None:
    passed, running = map(float, stopped_for_a_while(WAITING).split())
    assert passed - running > STOPPED - 1.5
    assert running > 1.5, "a wait that ends late counts for what was asked"


@pytest.mark.slow
def test_a_worker_that_was_stopped_with_all_others_is_not_silent(tmp_path: Path) -> None:
    assert stopped_for_a_while(ASKING, str(tmp_path / "log")) == "answered\n"


def test_waits_add_up() -> None:
    waited = []
    for seconds in clocks.waits(0.3):
        waited.append(seconds)
        time.sleep(0.1)  # something has come, and more is waited for
    assert waited[0] == 0.3
    assert sum(1 for _ in waited) <= 3
    assert clocks.suspended() > -0.01, "two clocks are read one after the other"
