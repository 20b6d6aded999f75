"""A database's server that goes away for a while → connections that wait for it, transactions that are done once.

A server that is restarted breaks every connection. A new one waits until it answers again, up to `AWAY_SECONDS`. A
transaction that was under way is repeated; its last commit may be on record all the same, without an answer, so what
is repeated must be such that a second time changes nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from explorer.core.errors import WorkspaceError
from explorer.workspace.database.refusals import ServerLost, shown
from explorer.workspace.database.schema import ExecutionRow, MeasurementRow

AWAY_SECONDS = 120.0  # for which a server may be away, as when it is restarted
POLL_SECONDS = 0.2
ATTEMPTS = 10  # at one transaction, as a server may go away again in it

T = TypeVar("T")

# Callables, each for a server's address, that a process which lost its connections calls before it goes on.
_regained: dict[str, Callable[[], None]] = {}
_lock = threading.RLock()
_waiting = weakref.WeakSet[sa.Engine]()


def wait_for_server(engine: sa.Engine) -> None:
    """Let every new connection of an engine whose server has answered once wait until it answers again."""
    if engine in _waiting:
        return
    _waiting.add(engine)
    url = engine.url

    @sa.event.listens_for(engine, "do_connect")
    def _(dialect: sa.Dialect, _record: object, arguments: list[Any], named: dict[str, Any]) -> Any:
        end = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                connection = dialect.connect(*arguments, **named)
                break
            except dialect.loaded_dbapi.OperationalError as error:
                if time.monotonic() > end:
                    why = (str(error).strip().splitlines() or ["no reason given"])[-1].strip()
                    raise WorkspaceError(
                        f"the database {shown(url)} has not answered for {AWAY_SECONDS:g} s: {why}; "
                        "give the same command again when it does"
                    ) from None
                time.sleep(POLL_SECONDS)
        return connection

    @sa.event.listens_for(engine, "connect")
    def _(_connection: object, _record: object) -> None:
        with _lock:
            if regain := _regained.get(str(url)):
                regain()


def on_return(url: sa.URL, regain: Callable[[], None] | None) -> None:
    """Call `regain` after every new connection to the server at `url`, in place of what was called before."""
    with _lock:
        _regained.pop(str(url), None)
        if regain is not None:
            _regained[str(url)] = regain


def rows(engine: sa.Engine, query: sa.Executable) -> Sequence[Any]:
    """Return all rows of a query, asked again if the connection to the server breaks meanwhile."""

    def read(_again: bool) -> Sequence[Any]:
        with engine.connect() as connection:
            return connection.execute(query).all()

    return done(read)


def entered(
    engine: sa.Engine,
    table: type[MeasurementRow | ExecutionRow],
    row: Mapping[str, Any],
    beside: Callable[[sa.Connection, int], None] | None = None,
) -> int:
    """Enter a row once, under a key of its own; return its id.

    Parameters
    ----------
    beside
        Enters what belongs to the row, in the same transaction; it takes the row's id.
    """
    entry = uuid.uuid4().hex

    def enter(again: bool) -> int:
        if again and (known := rows(engine, sa.select(table.id).where(table.entry == entry))):
            return int(known[0][0])
        with engine.begin() as connection:
            inserted = connection.execute(sa.insert(table).values(**row, entry=entry)).inserted_primary_key
            assert inserted is not None
            number = int(inserted[0])
            if beside is not None:
                beside(connection, number)
            return number

    return done(enter)


def done(work: Callable[[bool], T]) -> T:
    """Return what `work` returns, called again as often as the connection to the server breaks in it.

    Parameters
    ----------
    work
        Takes whether it was tried before, and may be on record then.

    Raises
    ------
    WorkspaceError
        If the server stays away, or goes away again and again.
    """
    for attempt in range(ATTEMPTS):
        try:
            return work(attempt > 0)
        except ServerLost:
            if attempt + 1 == ATTEMPTS:
                raise
            time.sleep(POLL_SECONDS)
    raise AssertionError("the last attempt returns or raises")
