"""SQLAlchemy URL → the studies' database and its tables, which several processes may open at the same time."""

from __future__ import annotations

import os
import sqlite3
import time
import urllib.parse
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from explorer.core.errors import WorkspaceError
from explorer.workspace.database import lasting, refusals
from explorer.workspace.database.refusals import BUSY_SECONDS
from explorer.workspace.database.schema import Schema
from explorer.workspace.database.unreadable import plain
from explorer.workspace.database.urls import without_passwords

__all__ = ["BUSY_SECONDS", "CREATES", "LEADS", "connect", "create_tables", "tune_sqlite"]

POLL_SECONDS = 0.01

# Numbers of locks that PostgreSQL gives to one process at a time: for running studies, and for creating tables.
LEADS = 0x646C6173
CREATES = LEADS + 1


def connect(url: str) -> sa.Engine:
    """Return an engine; SQLite gets write-ahead logging, which survives a killed process and lets readers read on.

    An SQLite file that this process may not write, or whose folder it may not, is opened for reading.

    Raises
    ------
    WorkspaceError
        If `url` is none, its driver is not installed, or its server does not answer; the message hides its password.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # the latter of a port that is no number
        raise _no_url(url) from None
    if parsed.get_backend_name() != "sqlite":
        return _reached(url)
    if parsed.host or parsed.username:
        raise _no_url(url)
    if is_read_only(file := Path(parsed.database or "")):
        return _read_only(parsed, file)
    refusals.refuse_other_files(parsed)
    engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_SECONDS}, json_deserializer=plain)
    refusals.explain(engine)
    tune_sqlite(engine)
    return engine


def _no_url(url: str) -> WorkspaceError:
    form = "such as postgresql+psycopg://user@host/name or sqlite:////folder/study.db"
    return WorkspaceError(f"'{without_passwords(url)}' is no SQLAlchemy URL, {form}")


def is_read_only(file: Path) -> bool:
    """Tell whether there is a database file that SQLite cannot write: it makes others beside it to do so."""
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK | os.X_OK))


def _read_only(url: sa.URL, file: Path) -> sa.Engine:
    engine = sa.create_engine(url, creator=lambda: _reader(file), json_deserializer=plain)
    refusals.explain(engine)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1 FROM sqlite_master LIMIT 1"))
    except sa.exc.OperationalError as error:
        why = f"is read-only, and cannot be read there ({error.orig})"
        raise WorkspaceError(f"'{file}' {why}; make a copy of its folder that can be written") from None
    return engine


def _reader(file: Path) -> sqlite3.Connection:
    """Return a connection that reads a file where nothing can be written.

    In write-ahead mode SQLite makes files beside the database even to read it, unless they are there, as a process
    leaves them that was killed, or it is told that nobody changes the database (sqlite.org/wal.html, read-only
    databases).
    """
    ahead = file.with_name(f"{file.name}-wal")
    nobody_writes = not (ahead.is_file() and ahead.stat().st_size)
    quoted = urllib.parse.quote(os.fsencode(file.absolute()))
    uri = f"file:{quoted}?mode=ro{'&immutable=1' * nobody_writes}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)


def _reached(url: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, json_deserializer=plain)
        with engine.connect():
            pass
    except sa.exc.ArgumentError:
        raise _no_url(url) from None
    except ImportError as error:
        message = f"there is no driver for {url.partition(':')[0]}: {error}; for PostgreSQL: "
        raise WorkspaceError(f"{message}pip install 'dlas-explorer[postgresql]'") from None
    except sa.exc.OperationalError as error:
        shown = sa.make_url(url).render_as_string(hide_password=True)
        reason = without_passwords(str(error.orig).strip())
        raise WorkspaceError(f"the database {without_passwords(shown)} does not answer: {reason}") from None
    refusals.explain(engine)
    lasting.wait_for_server(engine)
    return engine


def tune_sqlite(engine: sa.Engine) -> None:
    """Put every connection of an SQLite engine into write-ahead mode, without an fsync per transaction.

    With WAL, ``synchronous = NORMAL`` keeps the database consistent through a killed process and through a loss of
    power; the latter may cost the last transactions (sqlite.org/wal.html).
    """

    @sa.event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: object) -> None:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    engine.dispose()  # connections that were made before


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Put a file into write-ahead mode, in which it stays; of processes that do so at once SQLite lets none wait."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the lowest byte of an extended code
            if not busy or time.monotonic() > end:
                raise
            time.sleep(POLL_SECONDS)


def create_tables(engine: sa.Engine) -> None:
    """Create the tables and columns that a database lacks; another process may be about to do so, too.

    A database of an earlier version may lack columns that are newer than it: none of those is required.
    """
    refusals.refuse_other_tables(engine, Schema.metadata)
    if not any(_lacking(engine)):
        return
    if engine.dialect.name == "sqlite" and is_read_only(file := Path(engine.url.database or "")):
        raise WorkspaceError(f"'{file}' is read-only and of an earlier version; make a copy that can be written")
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # where creation that is conditional still collides
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATES)))
        elif engine.dialect.name == "sqlite":  # which has no condition for a column
            connection.execute(sa.text("BEGIN IMMEDIATE"))
        tables, columns = _lacking(connection)  # what the other one has not made meanwhile
        for column in columns:
            kind = column.type.compile(engine.dialect)
            connection.execute(sa.text(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}"))
        for table in tables:
            connection.execute(CreateTable(table, if_not_exists=True))
        for table in {*tables, *(column.table for column in columns)}:
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def _lacking(database: sa.Engine | sa.Connection) -> tuple[list[sa.Table], list[sa.Column[Any]]]:
    """Return the tables that a database lacks, and the columns that its tables lack."""
    inspector = sa.inspect(database)
    there = inspector.get_table_names()
    tables = [table for table in Schema.metadata.sorted_tables if table.name not in there]
    columns = []
    for table in Schema.metadata.sorted_tables:
        if table.name in there:
            known = {column["name"] for column in inspector.get_columns(table.name)}
            columns += [column for column in table.columns if column.name not in known]
    return tables, columns
