"""Files → a SHA-256 over their names and contents, or one file's contents; read again only when changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from explorer.core.files import regular

BUSY_SECONDS = 60  # how long one process waits for another's transaction
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FORMAT)


def digest_of_files(root: Path, names: Sequence[str], cache: Path) -> str:
    """Return the hexadecimal SHA-256 over the files `names` below `root`, whatever their order.

    Parameters
    ----------
    cache
        A database of what is known of files by path, size and modification time; made where it is missing.
    """
    sha = hashlib.sha256()
    place = root.resolve()
    with _opened(cache) as database:
        for name in sorted(names):
            sha.update(os.fsencode(name) + f"\0{_digest(place / name, database)}\0".encode())
    return sha.hexdigest()


def digest_of_file(path: Path, cache: Path) -> str:
    """Return the hexadecimal SHA-256 of one file's contents, whatever its name."""
    with _opened(cache) as database:
        return _digest(path.resolve(), database)


@contextlib.contextmanager
def _opened(cache: Path) -> Iterator[sqlite3.Connection]:
    """Give the database, in place of a damaged one: what is lost with that is time."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    regular.make_way(cache)
    if not _is_sound(cache):
        for name in (cache.name, f"{cache.name}-journal"):
            regular.clear(cache.with_name(name))
    with contextlib.closing(sqlite3.connect(cache, timeout=BUSY_SECONDS)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS checked (path PRIMARY KEY, size, modified, digest, sum)")
        yield database


def _is_sound(cache: Path) -> bool:
    """Tell whether the file of a database can be read and has no other table of the name, or there is none."""
    try:
        with contextlib.closing(sqlite3.connect(cache, timeout=BUSY_SECONDS)) as database:
            columns = [name for _, name, *_ in database.execute("PRAGMA table_info(checked)")]
            whole = database.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in DAMAGED:
            raise
        return False
    return whole and columns in ([], ["path", "size", "modified", "digest", "sum"])


def _digest(path: Path, database: sqlite3.Connection) -> str:
    # A name need not be UTF-8, and a database's text has to be.
    status, key = path.stat(), os.fsencode(path).decode(errors="backslashreplace")
    row = (key, status.st_size, status.st_mtime_ns)
    known = database.execute("SELECT digest, sum FROM checked WHERE path = ?", (key,)).fetchone()
    if known and known[1] == _sum(*row, known[0]):
        return str(known[0])
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    database.execute("INSERT OR REPLACE INTO checked VALUES (?, ?, ?, ?, ?)", (*row, digest, _sum(*row, digest)))
    return digest


def _sum(*row: object) -> int:
    """Return a checksum over a row: SQLite has none, and a digest with another digit would be another data set."""
    return zlib.crc32(repr(row).encode())
