"""Path of a database that only saves time → a connection to a table in it; a damaged one is made anew."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from explorer.core.files import regular

BUSY_SECONDS = 60  # how long one process waits for another's transaction
DAMAGED = (
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_IOERR,
)  # fmt: skip


@contextlib.contextmanager
def opened(cache: Path, table: str, columns: Sequence[str]) -> Iterator[sqlite3.Connection]:
    """Give the database with a table, in place of a damaged one: what is lost with that is time.

    Parameters
    ----------
    columns
        Of the table; the first one is its key.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    journal = cache.with_name(f"{cache.name}-journal")
    for file in (cache, journal):
        regular.make_way(file)
    if not _is_sound(cache, table, columns):
        for file in (cache, journal):
            regular.clear(file)
    with contextlib.closing(_connected(cache)) as database, database:
        key, *others = columns
        database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({key} PRIMARY KEY, {', '.join(others)})")
        yield database


def checksum(*row: object) -> int:
    """Return a checksum over a row: SQLite has none, and a digest with another digit would be another data set."""
    return zlib.crc32(repr(row).encode())


def _connected(cache: Path) -> sqlite3.Connection:
    database = sqlite3.connect(cache, timeout=BUSY_SECONDS)
    database.text_factory = lambda text: text.decode(errors="replace")  # a checksum tells what was damaged
    return database


def _is_sound(cache: Path, table: str, columns: Sequence[str]) -> bool:
    """Tell whether the file of a database can be read and has no other table of the name, or there is none."""
    try:
        with contextlib.closing(_connected(cache)) as database:
            found = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
            whole = database.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    except UnicodeDecodeError:  # of SQLite's own sentence, which quotes what is damaged
        return False
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in DAMAGED:
            raise
        return False
    return whole and found in ([], list(columns))
