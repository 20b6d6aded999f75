"""Workspace → its records, while this process alone runs studies in its folder and its database."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy as sa

from explorer.core.errors import WorkspaceError
from explorer.core.files import locks, regular
from explorer.workspace.database import lasting
from explorer.workspace.database.connection import LEADS
from explorer.workspace.database.records import Records
from explorer.workspace.database.refusals import ServerLost
from explorer.workspace.database.urls import without_passwords
from explorer.workspace.store import HOST
from explorer.workspace.workspace import Workspace

POLL_SECONDS = 0.5
MOST = 1 << 20  # bytes of a lock's file, which names a process and its command


@dataclass(frozen=True)
class Holder:
    """A process that holds a workspace.

    Parameters
    ----------
    process
        Its number and its command; "" until it has written them.
    host
        The machine that it runs on.
    """

    process: str = ""
    host: str = ""

    def __str__(self) -> str:
        """Name the process and, if that is another one, its machine."""
        elsewhere = f" on {self.host}" if self.host not in ("", HOST) else ""
        return f"{self.process or 'another process'}{elsewhere}"

    @classmethod
    def read(cls, lock: Path) -> Holder:
        """Return the process that the lock's file names; it has yet to write its name if it has just taken the lock.

        The version before wrote more into that file, which is left aside.
        """
        try:
            found = json.loads(regular.read(lock, MOST))
            return cls(str(found["process"]), str(found["host"]))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return cls()


@contextlib.contextmanager
def opened(workspace: Workspace, told: Callable[[str], None]) -> Iterator[Records]:
    """Give the records of a workspace for running a study, once no other process holds its folder or its database.

    Parameters
    ----------
    told
        Takes one sentence about each process that is waited for.
    """
    with (
        held(workspace, told),
        contextlib.closing(Records(workspace.url)) as records,
        alone_in_database(records, told),
    ):
        yield records


@contextlib.contextmanager
def held(workspace: Workspace, told: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder of a workspace, once no other process does; `told` as in `opened`.

    The kernel frees the lock when its holder ends, however it ends, and then one of the processes that wait goes on.
    """
    workspace.make()
    known: set[str] = set()
    with locks.opened(workspace.lock) as handle:
        while not locks.taken(handle):
            holder = Holder.read(workspace.lock)
            if holder.process not in known:
                known.add(holder.process)
                told(f"{holder} works in workspace '{workspace.root}'; this one goes on with what is left when it ends")
            time.sleep(POLL_SECONDS)  # not a call that blocks, so that Ctrl-C ends it
        command = without_passwords(" ".join(sys.argv))
        handle.truncate(0)
        handle.write(json.dumps(asdict(Holder(f"process {os.getpid()} ({command})", HOST))).encode())
        handle.flush()
        yield


@contextlib.contextmanager
def alone_in_database(records: Records, told: Callable[[str], None]) -> Iterator[None]:
    """Run studies as the only process in a database that several machines reach; `told` as in `opened`.

    The server ends that right when the connection ends, however it ends. An SQLite file needs none of it: it belongs to
    its workspace, whose folder this process holds already.
    """
    if records.engine.dialect.name != "postgresql":
        yield
        return
    lead = _Lead(records.engine)
    waiting = False
    while not lead.taken():
        if not waiting:
            told("another machine runs a study in the database; this one goes on with what is left then")
        waiting = True
        time.sleep(POLL_SECONDS)
    lasting.on_return(records.engine.url, lead.keep)
    try:
        yield
    finally:
        lasting.on_return(records.engine.url, None)
        lead.close()


class _Lead:
    """The right to run studies in a database: a lock of its server, which ends with the connection that took it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None
        self._keeping = False

    def taken(self) -> bool:
        """Take the lock unless another process has it; tell whether it is taken now."""
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return bool(self._connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LEADS))))

    def keep(self) -> None:
        """Take the lock again if its connection broke, as when the server was restarted.

        Raises
        ------
        WorkspaceError
            If another machine has it meanwhile.
        """
        if self._keeping:  # the connection that is made here
            return
        self._keeping = True
        try:
            if self._connection is not None and self._answers(self._connection):
                return
            self._connection = None
            end = time.monotonic() + lasting.AWAY_SECONDS  # the server may take the broken connection for a whole one
            while not lasting.done(lambda _: self.taken()):
                if time.monotonic() > end:
                    raise WorkspaceError(
                        "another machine runs a study in the database since its server was restarted; "
                        "give the same command again to go on with what is left then"
                    )
                time.sleep(POLL_SECONDS)
        finally:
            self._keeping = False

    def _answers(self, connection: sa.Connection) -> bool:
        try:
            return connection.scalar(sa.select(1)) == 1
        except (ServerLost, sa.exc.PendingRollbackError):
            connection.close()
            return False

    def close(self) -> None:
        """Give the lock back: a connection that goes back to its pool keeps what it has locked."""
        if self._connection is not None:
            with contextlib.suppress(ServerLost, sa.exc.PendingRollbackError), self._connection as connection:
                connection.scalar(sa.select(sa.func.pg_advisory_unlock(LEADS)))
