"""A process is spoken to through its pipes, knows its environment and folder, and writes its errors into its log."""

from __future__ import annotations

import os
from pathlib import Path

from explorer.processes import child

MODULE = """
import os, sys
import random
print(*sys.argv[1:], random.Random(0).randint(0, 9))
print(os.environ["ASKED"], os.environ["HOME"], os.getcwd(), os.getsid(0) == os.getpid(), input())
print("an error", file=sys.stderr)
"""


def test_it_runs_the_module_in_a_session_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "spoken.py").write_text(MODULE)
    (tmp_path / "random.py").write_text("SEEDS = [1, 2]\n")
    environment = {"ASKED": "yes", "PYTHONPATH": str(tmp_path / "modules")}
    log = tmp_path / "log"
    log.write_text("before\n")
    process = child.start("spoken", "a", "b", log=log, environment=environment, folder=tmp_path)
    output, _ = process.communicate(b"word\n")
    assert output.decode().split() == ["a", "b", "6", "yes", os.environ["HOME"], str(tmp_path), "True", "word"]
    assert log.read_text() == "before\nan error\n"
