"""A path below a workspace → the contents of the regular file there; what else lies in its place is removed.

What lies in a workspace may be damaged in any way: a pipe in place of a file would hang whoever opens it, a link may
lead to a file elsewhere. So these functions open nothing but regular files, and follow no link in the last place.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from io import BufferedReader
from pathlib import Path
from typing import IO

# What the machine lacks at the moment, and so no damage of the file that was to be opened.
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
MOST = 1 << 28  # bytes of a file that is read whole: all of the explorer's own are far smaller


def opened(path: Path) -> BufferedReader:
    """Open the regular file at `path` for reading.

    Raises
    ------
    OSError
        If there is none, or anything else in its place.
    """
    return os.fdopen(_descriptor(path, os.O_RDONLY), "rb")


def appended(path: Path, mode: str = "ab") -> IO[bytes]:
    """Open the regular file at `path` to add to it; what else lies there is removed, and a file that lacks is made."""
    flags = os.O_CREAT | os.O_APPEND | (os.O_RDWR if "+" in mode else os.O_WRONLY)
    make_way(path)
    return os.fdopen(_descriptor(path, flags), mode)


def read(path: Path, most: int = MOST) -> bytes:
    """Return what the regular file at `path` holds.

    Raises
    ------
    OSError
        If there is none, or anything else in its place.
    ValueError
        If it has more than `most` bytes.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"it has {size:,} bytes, and at most {most:,} are read")
        return file.read(size)


def end(path: Path, count: int) -> bytes:
    """Return the last `count` bytes of the regular file at `path`; nothing if there is none that can be read."""
    try:
        with opened(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - count))
            return file.read(count)
    except OSError:
        return b""


def is_regular(path: Path) -> bool:
    """Tell whether `path` is a regular file and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def make_way(path: Path) -> None:
    """Remove whatever lies at `path` but a regular file, so that one can be written there."""
    # Where nothing lies, another thread may put a file there right now, such as a lock that it then holds.
    if os.path.lexists(path) and not is_regular(path):
        clear(path)


def keep_folder(path: Path) -> Path:
    """Return `path` once a folder is there, or nothing."""
    if os.path.lexists(path) and not path.is_dir():  # likewise, such as one with an artifact in it
        clear(path)
    return path


def make_folder(path: Path) -> Path:
    """Return the folder at `path`, made where it is missing; a file or a link to nowhere in its place is removed."""
    keep_folder(path).mkdir(parents=True, exist_ok=True)
    return path


def clear(path: Path) -> None:
    """Remove whatever lies at `path`: a file, a link and not what it leads to, a folder with all that is in it.

    A folder leaves its place in one rename, so that nobody finds half of it.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            path.unlink()
            return
        gone = path.with_name(f".{path.name[:64]}.{uuid.uuid4().hex}")
        path.rename(gone)
    except (FileNotFoundError, NotADirectoryError):
        return
    for folder, _, _ in os.walk(gone):  # before it is listed: what is in a folder without permissions cannot be removed
        os.chmod(folder, stat.S_IRWXU)
    shutil.rmtree(gone)


def _descriptor(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no regular file", str(path))
