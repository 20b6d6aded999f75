"""SQLAlchemy URL → the studies' database and its tables, which several processes may open at the same time."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from explorer.core.errors import WorkspaceError
from explorer.workspace import lasting, refusals
from explorer.workspace.refusals import BUSY_SECONDS
from explorer.workspace.schema import Schema
from explorer.workspace.unreadable import plain

__all__ = ["BUSY_SECONDS", "CREATES", "LEADS", "connect", "create_tables", "tune_sqlite"]

POLL_SECONDS = 0.01

# Numbers of locks that PostgreSQL gives to one process at a time: for running studies, and for creating tables.
LEADS = 0x646C6173
CREATES = LEADS + 1


def connect(url: str) -> sa.Engine:
    """Return an engine; SQLite gets write-ahead logging, which survives a killed process and lets readers read on.

    Raises
    ------
    WorkspaceError
        If `url` is none, its driver is not installed, or its server does not answer.
    """
    if not url.startswith("sqlite"):
        return _reached(url)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, json_deserializer=plain)
    refusals.refuse_other_files(engine.url)
    refusals.explain(engine)
    tune_sqlite(engine)
    return engine


def _reached(url: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, json_deserializer=plain)
        with engine.connect():
            pass
    except sa.exc.ArgumentError:
        raise WorkspaceError(f"'{url}' is no SQLAlchemy URL, such as postgresql+psycopg://user@host/name") from None
    except ImportError as error:
        message = f"there is no driver for {url.partition(':')[0]}: {error}; for PostgreSQL: "
        raise WorkspaceError(f"{message}pip install 'dlas-explorer[postgresql]'") from None
    except sa.exc.OperationalError as error:
        shown = sa.make_url(url).render_as_string(hide_password=True)
        raise WorkspaceError(f"the database {shown} does not answer: {str(error.orig).strip()}") from None
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
