"""A device that serves another session: a check and a study say so within seconds, and nothing is trained."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.line.device import rpc
from tests import studies
from tests.boards import board
from tests.explorer.command import answer, dlas

SECONDS = 60  # less than either waits for a device that says nothing; workers start in it
SAID = "serves another session, and serves one at a time; try again when the study or check that holds it has ended"


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A devices file whose device `board` is held by a session of ours."""
    cores, folder = sorted(os.sched_getaffinity(0)), tmp_path_factory.mktemp("held")
    with board("key", cores[:1], folder / "log") as tracker:
        session = rpc.connect(tracker, "key", 300)
        file = folder / "devices.toml"
        file.write_text(f'[board]\ntracker = "{tracker}"\nkey = "key"\n')
        yield file
        assert rpc.round_trip(session) > 0, "the session that holds it goes on"


def test_a_check_says_that_the_device_is_held(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    found = answer(capsys, "devices", "--check", "board", "--file", held, code=2)["check"]
    assert time.monotonic() - start < SECONDS
    assert (found["tracker"], found["server"]) == (True, False)
    assert SAID in found["refusal"]


def test_a_study_is_not_begun_on_it(held: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(held, tmp_path)
    space = studies.write_space(tmp_path, models=[studies.SMALL], axes={"device": "board"})
    start = time.monotonic()
    assert dlas("run", space, "-w", tmp_path / "workspace") == 2
    assert time.monotonic() - start < SECONDS
    (message,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert SAID in message
    assert studies.executions(tmp_path / "workspace") == {}
