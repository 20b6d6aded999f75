"""The two kinds of trouble: errors that a user can mend (raised, exit code 2) and failures of a trial (values)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 1_000  # letters of a sentence; where there are more, its middle is left out
MOST_NAMED = 40  # names that are listed as allowed
MOST_COMPARED = 1_000  # names, and letters of each, among which the nearest is looked for


class ExplorerError(Exception):
    """Root of every error whose message is meant for the user: one sentence, shown without a traceback, exit code 2.

    It is on one line, and short, whatever values of files and command lines it has in it.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_sentence(message))


class SpaceError(ExplorerError):
    """A search-space or devices file that cannot be used; the message names the file and, where known, the line."""


class WorkspaceError(ExplorerError):
    """A workspace without a study, or whose study does not fit the search space."""


class DeviceError(ExplorerError):
    """A device that is unknown or out of reach; the message names the address and the command that starts a server."""


class LeftOut(UserWarning):
    """What is on record and cannot be read, and so is left out; the command line prints it as a note."""


# Kind of a failure where nothing went wrong: whatever the trial's training had reached would not have mattered.
DOMINATED = "dominated"

# Kinds of failures that lie in the surroundings of a stage. The stack has none of their causes, so that the stage may
# well succeed when it is executed again: a bounded number of times in this run, and afresh in the next one.
TRANSIENT = frozenset(
    {
        "crash",  # the worker's process ended
        "timeout",  # it was silent for too long
        "out_of_memory",
        "device",  # it does not answer, or no longer
        "connection",  # another machine or program does not answer, or no longer
        "space",  # the disk or the quota is full
        "storage",  # the disk or the network filesystem fails
        "permission",  # a file or folder may not be read or written
        "limit",  # of files or processes that one user or process may have
        "tools",  # a program that stages need is missing
    }
)


@dataclass(frozen=True)
class Failure:
    """Why a trial has no result: an expected outcome, recorded with the trial.

    Parameters
    ----------
    stage
        Name of the stage that failed, such as ``"measure"``.
    kind
        Short machine-readable cause: one of the stack's own, such as ``"wrong_output"`` or ``"exception"``, or one of
        `TRANSIENT`.
    message
        One sentence for the report.
    log
        Whatever helps to find the cause: a traceback, the tail of a worker's log.
    """

    stage: str
    kind: str
    message: str
    log: str = ""

    @property
    def skipped(self) -> bool:
        """Whether the trial was left out rather than failed."""
        return self.kind == DOMINATED

    @property
    def transient(self) -> bool:
        """Whether the cause lies in the surroundings, so that the trial is unfinished rather than failed."""
        return self.kind in TRANSIENT


class StageFailed(Exception):
    """Carries a `Failure` from where it is noticed to the trial, which turns it back into a value."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def did_you_mean(value: object, allowed: Iterable[object]) -> str:
    """Return ``"; allowed: a, b; did you mean 'b'?"`` for an unknown `value`, the suggestion only where one is near."""
    names = [str(name) for name in allowed]
    compared = [name for name in names[:MOST_COMPARED] if len(name) <= MOST_COMPARED]
    near = difflib.get_close_matches(str(value)[:MOST_COMPARED], compared, n=1, cutoff=0.5)
    suggestion = f"; did you mean '{near[0]}'?" if near else ""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"; allowed: {', '.join(names[:MOST_NAMED]) or 'none'}{more}{suggestion}"


def one_sentence(text: str) -> str:
    """Return `text` on one line, without its middle where it is long."""
    line = " ".join(text.splitlines())
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST * 2 // 3]} … {line[-LONGEST // 3 :]}"
