"""Processes forked off one that has imported a library, for the tests."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import psutil

from tests import forks

SLEEPS = "import sys\nsys.stdin.read()\n"


def test_one_who_asks_and_is_killed_before_it_hears_the_answer_ends_no_other(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text(SLEEPS)
    asking = forks._connected("tvm")
    request = {"module": "sleeping", "arguments": [], "environment": dict(os.environ), "folder": str(tmp_path)}
    (its_stdin, stdin), (stdout, its_stdout) = os.pipe(), os.pipe()
    socket.send_fds(asking, [json.dumps(request).encode()], [its_stdin, its_stdout, its_stdout])
    forked = psutil.Process(int(asking.recv(forks.MESSAGE, socket.MSG_PEEK)))  # the answer stays unread
    asking.close()
    forked.kill()
    forked.wait(timeout=20)
    for pipe in (its_stdin, stdin, stdout, its_stdout):
        os.close(pipe)

    other = forks.start("sleeping", log=tmp_path / "log", environment={}, folder=tmp_path)
    assert forks.running("sleeping") == [psutil.Process(other.pid)]
    other.communicate()
    assert other.returncode == 0  # which the process that forks has told
    assert forks.running("sleeping") == []
