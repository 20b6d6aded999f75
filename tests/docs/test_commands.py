"""Commands on the pages run, and are such as the programs take; those that are not run have a reason."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import explorer
from explorer import cli
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import documents
from tests.docs.pages import BOARDS, DEVICES, REPORTS, RESULTS, TUNING, stem
from tests.docs.shown_commands import COMMANDS, DLAS, FIRST_TRIALS, NOT_RUN, QUICKSTART, arguments, options
from tests.documents import PAGES


@pytest.fixture
def typed(documented: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.chdir(documented)
    made = Typed(documented / "workspace", capsys)
    made.make_quickstart_the_latest()
    return made


class Typed:
    """Runs commands of `dlas` in this process, as typed in the folder that the pages' commands run in."""

    def __init__(self, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._workspace, self._capsys = workspace, capsys

    def run(self, command: str) -> str:
        given = arguments(command)
        assert given is not None, f"add '{command}' to NOT_RUN, or make it one of dlas"
        if command.startswith(QUICKSTART):
            given += ["--trials", str(self._trials(command))]
        with pytest.raises(SystemExit) as ended:
            cli.main(given)
        output = self._capsys.readouterr()
        assert ended.value.code in ((0, 1) if given[0] == "best" else (None, 0)), f"{command}\n{output}"
        return output.out

    def make_quickstart_the_latest(self) -> None:
        """Add a trial to the quickstart if another study, of other tests on the workspace, finished one since."""
        studies = Records(Workspace(self._workspace).url).studies() if self._workspace.exists() else []
        if studies and studies[0] != "quickstart":
            self.run(f"{QUICKSTART} --seed 0")

    def _trials(self, command: str) -> int:
        """Return how many trials a run brings the quickstart to: its options are tried on one more than there are."""
        done = sum(Records(Workspace(self._workspace).url).count("quickstart"))
        as_it_is = command == QUICKSTART or "--engine ray" in command  # which test_ray tries
        return max(FIRST_TRIALS, done if as_it_is else done + 1)


def test_every_command_is_run_or_listed_with_a_reason() -> None:
    shown = set(documents.commands())
    assert set(NOT_RUN) <= shown, "and nothing else is listed"
    assert {command for command in shown if arguments(command) is None} <= set(NOT_RUN)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    # Its commands run the quickstart with other samplers; the contract of samplers tries each.
    [pytest.param(page, marks=pytest.mark.nightly) if page == TUNING else page for page in PAGES],
    ids=stem,
)
def test_the_commands_run(page: Path, typed: Typed) -> None:
    ran = [command for command in documents.commands(page) if command not in NOT_RUN]
    outputs = {command: typed.run(command) for command in ran}
    for command, output in outputs.items():
        if " best " in command and "--json" not in command:
            assert "The most accurate stack" in output or "No stack fits" in output
        if command.startswith(QUICKSTART):
            assert "the fronts as a page: workspace/quickstart.html" in output
            assert Path("workspace/quickstart.html").stat().st_size > 1_000_000, "plotly.js is inside"
    if page == RESULTS:
        assert Path("trials.csv").read_text().count("\n") == 1 + len(explorer.frame())
        assert Path("trials.parquet").exists()
    if page == REPORTS:
        assert Path("front.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("given", DLAS, ids=shlex.join)
def test_the_commands_are_such_as_dlas_takes(given: list[str]) -> None:
    COMMANDS[given[0]].make_context(given[0], given[1:])


def test_every_command_of_the_program_is_shown() -> None:
    assert set(COMMANDS) == {given[0] for given in DLAS}


def test_every_option_of_the_program_is_named() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for command in {given[0] for given in DLAS}:
        assert [option for option in options(command) if f"{option}" not in text] == [], command


@pytest.mark.nightly  # another version of TVM alone changes it
@pytest.mark.parametrize("program", ["rpc_tracker", "rpc_server", "query_rpc_tracker"])
def test_tvms_programs_take_the_options(program: str) -> None:
    shown = [command for command in documents.commands(DEVICES, BOARDS) if f" tvm.exec.{program} " in command]
    named = {option for command in shown for option in re.findall(r"--[a-z-]+", command)}
    answer = subprocess.run([sys.executable, "-m", f"tvm.exec.{program}", "--help"], capture_output=True, text=True)
    assert named
    assert [option for option in sorted(named) if option not in answer.stdout] == []


def test_boards_are_given_the_versions_that_are_installed_here() -> None:
    pinned = re.findall(r'"?(apache-tvm[\w-]*)(?:\[\w+\])?==([\w.]+)', BOARDS.read_text())
    assert dict(pinned) == {name: metadata.version(name) for name in ("apache-tvm", "apache-tvm-ffi")}
