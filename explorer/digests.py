"""Files → one SHA-256 over their names and contents; a file that did not change is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path


def digest_of_files(root: Path, names: Sequence[str], cache: Path) -> str:
    """Return the hexadecimal SHA-256 over the files `names` below `root`, whatever their order.

    Parameters
    ----------
    cache
        A database of what is known of files by path, size and modification time; made where it is missing.
    """
    sha = hashlib.sha256()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(cache)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS files (path PRIMARY KEY, size, modified, digest)")
        for name in sorted(names):
            sha.update(f"{name}\0{_digest(root / name, database)}\0".encode())
    return sha.hexdigest()


def _digest(path: Path, database: sqlite3.Connection) -> str:
    status, key = path.stat(), str(path.resolve())
    stamp = (status.st_size, status.st_mtime_ns)
    known = database.execute("SELECT size, modified, digest FROM files WHERE path = ?", (key,)).fetchone()
    if known and known[:2] == stamp:
        return str(known[2])
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (key, *stamp, digest))
    return digest
