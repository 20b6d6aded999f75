"""Files → a SHA-256 over their names and contents, or one file's contents; read again only when changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path


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
    cache.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(cache)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS files (path PRIMARY KEY, size, modified, digest)")
        yield database


def _digest(path: Path, database: sqlite3.Connection) -> str:
    # A name need not be UTF-8, and a database's text has to be.
    status, key = path.stat(), os.fsencode(path).decode(errors="backslashreplace")
    stamp = (status.st_size, status.st_mtime_ns)
    known = database.execute("SELECT size, modified, digest FROM files WHERE path = ?", (key,)).fetchone()
    if known and known[:2] == stamp:
        return str(known[2])
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (key, *stamp, digest))
    return digest
