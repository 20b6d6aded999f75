"""Folder → the places of everything a study leaves behind, held by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from explorer.errors import WorkspaceError


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
    def held(self) -> Iterator[None]:
        """Hold the workspace for running a study; the kernel lets go when the process dies, however it dies.

        Raises
        ------
        WorkspaceError
            If another process holds it; the message names the process and its command.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with self.lock.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkspaceError(f"workspace '{self.root}' is in use by {self._holder()}") from None
            handle.truncate(0)
            handle.write(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)}))
            handle.flush()
            yield

    def _holder(self) -> str:
        try:
            holder = json.loads(self.lock.read_text())
            return f"process {holder['pid']} ({holder['command']}); wait for it or end it"
        except (ValueError, KeyError):  # it took the lock this very moment and has yet to write its name
            return "another process; wait for it or end it"
