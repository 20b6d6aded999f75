"""What a database's driver says → one sentence with the database, the cause and what to do, wherever it is noticed.

SQLAlchemy asks here for every error of an engine, so that no caller has to expect them: `explain` makes a
`WorkspaceError` of each that the user can mend, and lets those pass that tell of a bug, or of a row that is there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from explorer.core.errors import WorkspaceError

BUSY_SECONDS = 60  # for which one process waits for another's transaction

# Optuna's tables that tell its databases from those of other applications.
OURS = "dlas_"  # begins the names of the explorer's own tables
OPTUNAS = frozenset({"studies", "trials", "version_info"})

# SQLite's code → the cause, and what to do.
CAUSES = {
    sqlite3.SQLITE_NOTADB: ("is no SQLite database, or its first bytes are damaged", "put a copy of it in its place"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "put a copy in its place, or what 'sqlite3 FILE .recover' saves of it"),
    sqlite3.SQLITE_BUSY: ("is locked by another program", "end that program, then give the same command again"),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "end that program, then give the same command again"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "give yourself permission to write it and its folder"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "look at the permissions of it, its folder and the files beside it"),
    sqlite3.SQLITE_PERM: ("cannot be opened", "look at the permissions of it, its folder and the files beside it"),
    sqlite3.SQLITE_FULL: ("has no space left", "make space on its disk, then give the same command again"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "look at its disk, and at the files beside it"),
    sqlite3.SQLITE_SCHEMA: ("has other tables than those of a study", "put a copy of it in its place"),
    sqlite3.SQLITE_ERROR: ("has other tables than those of a study", "put a copy of it in its place"),
}
NOT_THE_FILES = ("too many SQL variables", "syntax error", "unrecognized token", "no such function")  # bugs of ours


class ServerLost(WorkspaceError):
    """The connection to a database's server broke; a transaction that was under way may or may not be on record."""


def explain(engine: sa.Engine) -> None:
    """Turn the errors of an engine that the user can mend into a `WorkspaceError`, and broken connections into one."""
    url = engine.url  # an engine that its own listener knew would keep its connections open for long

    @sa.event.listens_for(engine, "handle_error")
    def _(context: sa.engine.ExceptionContext) -> None:
        if context.is_pre_ping or not isinstance(context.original_exception, Exception):
            return
        if context.is_disconnect:
            raise ServerLost(f"the connection to the database {shown(url)} broke; the same command goes on")
        if sentence := refusal(context.original_exception, url):
            raise WorkspaceError(sentence)


def refusal(error: BaseException, url: sa.URL) -> str | None:
    """Return in one sentence what is wrong with a database, or None if `error` does not tell of the database."""
    told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, sqlite3.DatabaseError):
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            return None
        cause = CAUSES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)  # the lowest byte of an extended code
        if cause is None or any(each in told for each in NOT_THE_FILES):
            return None
        return f"the database '{url.database}' {cause[0]}: {told}; {cause[1]}"
    # https://www.postgresql.org/docs/current/errcodes-appendix.html: classes of lacking resources, of operators'
    # interventions, of undefined tables and columns, of privileges, and of damage.
    state = str(getattr(error, "sqlstate", None) or "")
    if state[:2] in ("53", "57", "58", "XX") or state in ("42P01", "42703", "42501", "25006"):
        return f"the database {shown(url)} cannot be used: {told}"
    return None


def shown(url: sa.URL) -> str:
    """Return a URL without its password."""
    return url.render_as_string(hide_password=True)


def refuse_other_files(url: sa.URL) -> None:
    """Raise WorkspaceError if something else lies where an SQLite file should, such as another application's.

    That is looked for before anything else is done, as to open it for writing would change it.
    """
    path = Path(url.database) if url.database and url.database != ":memory:" else None
    if path is None or not os.path.lexists(path):
        return
    if path.is_file():
        tables = _tables(path, url)
        if tables and not any(name.startswith(OURS) or name in OPTUNAS for name in tables):
            raise WorkspaceError(
                f"the database '{path}' is of another application: it has the table {min(tables)}; move it away"
            )
        return
    what = "a link to nothing" if path.is_symlink() and not path.exists() else "no file"
    raise WorkspaceError(f"the database '{path}' is {what}; put the studies' database in its place, or move it away")


def _tables(path: Path, url: sa.URL) -> list[str]:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.DatabaseError as error:
        raise WorkspaceError(refusal(error, url) or str(error)) from None
    return [str(name) for (name,) in rows]


def refuse_other_tables(database: sa.Engine | sa.Connection, own: sa.MetaData) -> None:
    """Raise WorkspaceError if a database has a table of ours that is none.

    Columns that a later version of the explorer has added are nullable; any other was always there.
    """
    inspector, url = sa.inspect(database), database.engine.url
    there = set(inspector.get_table_names())
    where = f"'{url.database}'" if url.drivername.startswith("sqlite") else shown(url)
    for table in own.sorted_tables:
        if table.name in there:
            known = {column["name"] for column in inspector.get_columns(table.name)}
            needed = [column.name for column in table.columns if not column.nullable and column.name not in known]
            if needed:
                raise WorkspaceError(
                    f"the database {where} is of another version, or damaged: its table {table.name} has no column "
                    f"{needed[0]}; put a copy of it in its place, or choose another --workspace"
                )
