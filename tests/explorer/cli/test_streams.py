"""Streams and surroundings as shells leave them: a command ends without a traceback, and with the code of its kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.cli import COMMANDS
from tests.explorer.command import dlas
from tests.explorer.searched import searched

START = "from explorer.cli import main; main()"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a study, in a folder whose name no ASCII, no markup and no URL takes."""
    root = tmp_path_factory.mktemp("streams") / "ü [/x] 100%?"
    root.mkdir(parents=True)
    return searched(root)[0].root


def run(shell: str, *arguments: object, **environment: str) -> tuple[int, str, str]:
    """Run the command in place of ``DLAS`` in a line of bash; return its exit code and what it printed."""
    command = ["bash", "-c", shell.replace("DLAS", '"$0" -c "$1" "${@:2}"'), sys.executable, START]
    found = subprocess.run(
        [*command, *map(str, arguments)], env={**os.environ, **environment}, capture_output=True, timeout=300
    )
    return found.returncode, found.stdout.decode(errors="replace"), found.stderr.decode(errors="replace")


@pytest.mark.parametrize(
    ("shell", "code", "error"),
    [
        ("DLAS | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("DLAS >/dev/full", 2, "error: standard output cannot be written: No space left on device\n"),
        ("DLAS >&-", 0, ""),
        ("DLAS <&- >&- 2>&-", 0, ""),
    ],
)
def test_a_stream_that_takes_nothing_is_no_traceback(shell: str, code: int, error: str, place: Path) -> None:
    waits = shell.replace("| true", "| { exec <&-; sleep 0.1; }")
    assert run(waits, "status", "-w", place, "--json") == (code, "", error)


def test_an_error_that_nobody_reads_keeps_its_code() -> None:
    assert run("DLAS 2>/dev/full", "front", "-w", "/nowhere")[0] == 2
    assert run("DLAS 2>&-", "front", "-w", "/nowhere")[0] == 2


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii", "COLUMNS": "20"},
        {"PYTHONOPTIMIZE": "2", "HOME": "/proc/nowhere"},
    ],
    ids=str,
)
def test_surroundings_change_no_answer(environment: dict[str, str], place: Path) -> None:
    code, out, error = run("DLAS", "best", "--latency-ms", "1000", "-w", place, **environment)
    assert (code, error) == (0, "")
    assert "The most accurate stack within 1000 ms on local" in out


def test_help_is_there_without_docstrings() -> None:
    assert (
        "Search a space; the same command goes on with a study that was" in run("DLAS", "--help", PYTHONOPTIMIZE="2")[1]
    )
    assert all(command.__doc__ for command in COMMANDS)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_numbers_are_finite(value: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ("best", f"--latency-ms={value}"),
        ("menu", f"--budgets={value}"),
        ("best", f"--speed-up={value}"),
    ):
        assert dlas(*arguments, "-w", place, "--json") == 2
        assert "message" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_file_that_cannot_be_written_is_said_with_the_reason(
    ending: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, folder = tmp_path / "missing" / f"x.{ending}", tmp_path / f"folder.{ending}"
    folder.mkdir()
    (tmp_path / "file").touch()
    for path, reason in ((missing, f"there is no folder '{missing.parent}'"), (folder, "Is a directory")):
        assert dlas("export", "--format", ending, "-o", path, "-w", place) == 2
        assert reason in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
    for path in (folder, tmp_path / "file" / "x.html"):
        for arguments in (("front", "--figure", path), ("report", "-o", path)):
            assert dlas(*arguments, "-w", place) == 2
            assert capsys.readouterr().err.count("\n") == 1
