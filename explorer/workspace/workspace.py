"""Folder → the places of everything a study leaves behind, held by one process at a time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from explorer.core import locks
from explorer.core.errors import WorkspaceError
from explorer.workspace.store import HOST

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Address:
    """Where a process listens.

    Parameters
    ----------
    socket
        A path on its machine or, if `port` is given, that machine's name.
    key
        Hexadecimal; what whoever connects to a port has to know.
    """

    socket: str
    port: int | None = None
    key: str = ""


@dataclass(frozen=True)
class Holder:
    """A process that holds a workspace.

    Parameters
    ----------
    process
        With its command; "" of one that has yet to write it.
    host
        The machine that it runs on.
    address
        Where it listens, if it takes help.
    """

    process: str = ""
    host: str = ""
    address: Address | None = None

    def __str__(self) -> str:
        return self.process or "another process"


@dataclass(frozen=True)
class Hold:
    """What a process has that holds a workspace: the open file that it has the lock of."""

    file: IO[str]

    def tell(self, address: Address | None = None) -> None:
        """Write into the file who holds it and, if it takes help, at which address."""
        holder = Holder(f"process {os.getpid()} ({_shown(' '.join(sys.argv))})", HOST, address)
        if address and address.key:
            os.fchmod(self.file.fileno(), 0o600)
        self.file.truncate(0)
        self.file.write(json.dumps(asdict(holder)))
        self.file.flush()


class Workspace:
    """Every file name below one workspace folder, which may not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = root / "artifacts"
        self.logs = root / "logs"
        self.database = root / "study.db"
        self.server = root / "database"
        self.lock = root / "lock"
        self.digests = root / "digests.db"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database, for Optuna and ``optuna-dashboard`` too."""
        return self.server.read_text() if self.server.exists() else f"sqlite:///{self.database}"

    @property
    def is_shared(self) -> bool:
        """Whether its studies are on a server, which other machines may reach."""
        return self.server.exists()

    def on(self, url: str | None) -> Workspace:
        """Return itself, its studies in the database at `url` from now on; where they are, if that is None.

        Raises
        ------
        WorkspaceError
            If it has studies in another database, or there is none at `url`.
        """
        if url is None or (self.has_studies and url == self.url):
            return self
        if self.has_studies:
            raise WorkspaceError(f"the studies of workspace '{self.root}' are in another database, {_shown(self.url)}")
        from explorer.workspace.records import connect

        connect(url).dispose()
        self.root.mkdir(parents=True, exist_ok=True)
        self.server.touch(mode=0o600)  # a URL may have a password
        self.server.write_text(url)
        return self

    @property
    def has_studies(self) -> bool:
        """Whether there is a database of studies, or a word on where it is."""
        return self.database.exists() or self.server.exists()

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
        if not self.has_studies:
            raise WorkspaceError(
                f"no study in workspace '{self.root}'; start one with 'dlas run SPACE.toml --workspace {self.root}'"
            )
        return self

    @contextlib.contextmanager
    def held(
        self, told: Callable[[str], None], meanwhile: Callable[[Holder], None] = lambda holder: None
    ) -> Iterator[Hold]:
        """Hold the workspace for running a study, once no other process does.

        The kernel lets go when the one that holds it ends, however it ends, and then one of those that wait goes on.

        Parameters
        ----------
        told
            Of each process that is waited for, with its command.
        meanwhile
            Called once for each that holds it, and again when that has an address.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        known: set[Holder] = set()
        with self.lock.open("a+") as handle:
            while not locks.taken(handle):
                holder = self._holder()
                if holder.process not in {other.process for other in known}:
                    told(f"{holder} works in workspace '{self.root}'; this one goes on with what is left when it ends")
                if holder not in known:
                    known.add(holder)
                    meanwhile(holder)
                time.sleep(POLL_SECONDS)  # not a call that blocks, so that Ctrl-C ends it
            hold = Hold(handle)
            hold.tell()
            yield hold

    def _holder(self) -> Holder:
        try:
            holder = json.loads(self.lock.read_text())
            address = holder["address"] and Address(**holder["address"])
            return Holder(holder["process"], holder["host"], address)
        except (ValueError, TypeError, KeyError):  # it took the lock this very moment and has yet to write its name
            return Holder()


def _shown(text: str) -> str:
    """Return a text without the passwords of the URLs in it."""
    return re.sub(r"(?<=:)[^:@/\s]+(?=@)", "***", text)
