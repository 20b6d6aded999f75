"""A case → how the command line took it: it runs in a process that lives on, until one hangs."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import time
import traceback
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from explorer.core.errors import Failure
from tests import forks
from tests.malformed.kinds import Case

SECONDS = 10.0  # in which a command has to answer; those that compute are interrupted then
GRACE = 10.0  # after which a command that was interrupted hangs
LONGEST = 2_000  # letters of a sentence
BUGS = ("exception", "crash")  # kinds of failures that no input explains
FINE = (0, 1)  # exit codes: 1 says that no stack fits, or that a bundle's outputs are wrong


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code, None of an exception, and what it printed."""

    code: int | None
    out: str
    err: str
    seconds: float
    interrupted: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a case ended, and why.

    `name` is ``accepted``, ``refused``, ``unclear`` (refused without a sentence that has the value), ``traceback`` or
    ``hang``.
    """

    name: str
    why: str
    seconds: float


class Taker:
    """A process that runs commands one after the other, and another one after one that hung."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._process: Any = None
        self._seconds = seconds

    def take(self, command: list[str], folder: Path) -> Answer | None:
        """Return how `command` ends in `folder`; None where it hangs."""
        if self._process is None:
            context = get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=False)
            self._process.start()
            theirs.close()
            assert self._pipe.poll(120)
            self._pipe.recv()
        start = time.monotonic()
        self._pipe.send((command, str(folder)))
        interrupted = not self._pipe.poll(self._seconds)
        if interrupted:
            os.kill(self._process.pid, signal.SIGINT)
        try:
            if not self._pipe.poll(GRACE):
                self.close()
                return None
            code, out, err = self._pipe.recv()
        except EOFError:  # it died
            code, out, err = None, "", f"the process ended: {self._process.exitcode}"
            self.close()
        return Answer(code, out, err, time.monotonic() - start, interrupted)

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for each in [
                    *psutil.Process(self._process.pid).children(recursive=True),
                    psutil.Process(self._process.pid),
                ]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()
            self._process.join()
            self._process = None


def _serve(pipe: Any) -> None:
    from explorer import cli

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send("ready")
    with forks.used():
        while True:
            try:
                command, folder = pipe.recv()
            except EOFError:
                return
            os.chdir(folder)
            out, err = io.StringIO(), io.StringIO()
            code: int | None = None
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    cli.main(command)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except KeyboardInterrupt:
                code = 130
            except BaseException:
                err.write(traceback.format_exc())
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            pipe.send((code, out.getvalue(), err.getvalue()))


def judged(case: Case, folder: Path, taker: Taker) -> Verdict:
    """Return how the command line took a case, with all of its commands."""
    verdict = Verdict("accepted", "", 0.0)
    for command in filter(None, (case.command, case.then)):
        answer = taker.take(command, folder)
        if answer is None:
            return Verdict("hang", f"{' '.join(command)[:200]}: no answer, not even to SIGINT", SECONDS + GRACE)
        hints = case.hints if command is case.command else []  # a run may end at a device that is not there
        verdict = _judge(answer, hints, case.runs_on, command, folder)
        if verdict.name != "accepted":
            break
    return verdict


def _judge(answer: Answer, hints: list[str], runs_on: bool, command: list[str], folder: Path) -> Verdict:
    text = _plain(answer.err)
    if answer.interrupted:
        begun = runs_on and (command[0] == "dashboard" or _has_begun(folder / "w"))
        return Verdict("accepted" if begun else "hang", f"interrupted: {text[-200:]}", answer.seconds)
    if "Traceback (most recent call last)" in answer.out + text or (answer.code is None):
        lines = [line.strip() for line in text.strip().splitlines()]
        places = [line.partition("site-packages/")[2] or line for line in lines if line.startswith("File ")]
        return Verdict("traceback", f"{lines[-1][:300] if lines else '?'} at {'; '.join(places[-3:])}", answer.seconds)
    if answer.code in FINE:
        fault = _failed_trial(command, folder)
        return Verdict("traceback" if fault else "accepted", fault, answer.seconds)
    if answer.code != 2:
        return Verdict("traceback", f"exit code {answer.code}: {text[-200:]}", answer.seconds)
    fault = _fault_of(text, hints)
    return Verdict("unclear" if fault else "refused", f"{fault}{text.strip()[-300:]}", answer.seconds)


def _plain(text: str) -> str:
    """Return a text without the frame that wrong usage is printed in, on one line."""
    if "Error ─" not in text:
        return text
    framed = re.findall(r"│(.*?)│", text, re.DOTALL)
    return "error: " + " ".join(part.strip() for part in framed) + "\n"


def _fault_of(text: str, hints: list[str]) -> str:
    """Return what a refusal lacks, "" for nothing."""
    sentences = [line for line in text.splitlines() if line.startswith("error: ")]
    if len(sentences) != 1 or not text.rstrip("\n").endswith(sentences[0]):
        return "not one sentence: "
    if len(sentences[0]) > LONGEST:
        return f"{len(sentences[0])} letters: "
    said = sentences[0].replace(" ", "")
    if hints and not any(hint.replace(" ", "") in said for hint in hints):
        return "without the value: "
    return ""


def _has_begun(workspace: Path) -> bool:
    """Tell whether a study runs stages: one has written something."""
    return any((workspace / "artifacts").glob("*/*")) or any((workspace / "artifacts").glob("*"))


def _failed_trial(command: list[str], folder: Path) -> str:
    """Return the fault that a trial failed by which no setting explains, "" for none."""
    if command[0] not in ("run", "grid") or not (folder / "w").exists():
        return ""
    from explorer.workspace.database.records import Records
    from explorer.workspace.workspace import Workspace

    records = Records(Workspace(folder / "w").url)
    try:
        ended = [records.outcome(name, number) for name in records.studies() for number in range(2)]
    finally:
        records.close()
    found = [each for each in ended if isinstance(each, Failure) and each.kind in BUGS]
    return f"trial failed in {found[0].stage}: {found[0].message[:300]}" if found else ""
