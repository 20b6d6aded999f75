"""Files → a SHA-256 over their names and contents, or one file's contents; read again only when changed."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from explorer.core.files import cached
from explorer.core.files.cached import checksum

COLUMNS = ("path", "size", "modified", "digest", "sum")


def digest_of_files(root: Path, names: Sequence[str], cache: Path) -> str:
    """Return the hexadecimal SHA-256 over the files `names` below `root`, whatever their order.

    Parameters
    ----------
    cache
        A database of what is known of files by path, size and modification time; made where it is missing.
    """
    sha = hashlib.sha256()
    place = root.resolve()
    with cached.opened(cache, "checked", COLUMNS) as database:
        for name in sorted(names):
            sha.update(os.fsencode(name) + f"\0{_digest(place / name, database)}\0".encode())
    return sha.hexdigest()


def digest_of_file(path: Path, cache: Path) -> str:
    """Return the hexadecimal SHA-256 of one file's contents, whatever its name."""
    with cached.opened(cache, "checked", COLUMNS) as database:
        return _digest(path.resolve(), database)


def _digest(path: Path, database: sqlite3.Connection) -> str:
    # A name need not be UTF-8, and a database's text has to be.
    status, key = path.stat(), os.fsencode(path).decode(errors="backslashreplace")
    row = (key, status.st_size, status.st_mtime_ns)
    known = database.execute("SELECT digest, sum FROM checked WHERE path = ?", (key,)).fetchone()
    if known and known[1] == checksum(*row, known[0]):
        return str(known[0])
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    database.execute("INSERT OR REPLACE INTO checked VALUES (?, ?, ?, ?, ?)", (*row, digest, checksum(*row, digest)))
    return digest
