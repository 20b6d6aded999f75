"""Folder → the places of everything a study leaves behind, held by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from explorer.errors import WorkspaceError

POLL_SECONDS = 0.5


class Workspace:
    """Every file name below one workspace folder, which may not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = root / "artifacts"
        self.logs = root / "logs"
        self.database = root / "study.db"
        self.lock = root / "lock"
        self.digests = root / "digests.db"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database, for Optuna and ``optuna-dashboard`` too."""
        return f"sqlite:///{self.database}"

    def figure(self, study: str) -> Path:
        """Return where the figure of a study's fronts lies."""
        return self.root / f"{study}.html"

    def must_exist(self) -> Workspace:
        """Return itself.

        Raises
        ------
        WorkspaceError
            If there is no study in the folder.
        """
        if not self.database.exists():
            raise WorkspaceError(
                f"no study in workspace '{self.root}'; start one with 'dlas run SPACE.toml --workspace {self.root}'"
            )
        return self

    @contextlib.contextmanager
    def held(self, told: Callable[[str], None]) -> Iterator[None]:
        """Hold the workspace for running a study, once no other process does.

        The kernel lets go when the one that holds it ends, however it ends, and then one of those that wait goes on.

        Parameters
        ----------
        told
            Of each process that is waited for, with its command.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        waited_for = ""
        with self.lock.open("a+") as handle:
            while not _taken(handle):
                if (holder := self._holder()) != waited_for:
                    told(f"{holder} works in workspace '{self.root}'; this one goes on with what is left when it ends")
                    waited_for = holder
                time.sleep(POLL_SECONDS)  # not a call that blocks, so that Ctrl-C ends it
            handle.truncate(0)
            handle.write(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)}))
            handle.flush()
            yield

    def _holder(self) -> str:
        try:
            holder = json.loads(self.lock.read_text())
            return f"process {holder['pid']} ({holder['command']})"
        except (ValueError, KeyError):  # it took the lock this very moment and has yet to write its name
            return "another process"


def _taken(handle: IO[str]) -> bool:
    """Take the lock of an open file unless somebody has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
