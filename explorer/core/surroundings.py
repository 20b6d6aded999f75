"""An exception → the kind of a stage's failure that it is, where its cause lies in the surroundings of the stage."""

from __future__ import annotations

import errno
import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# By the numbers of the system's errors; the kinds are those of `explorer.core.errors.TRANSIENT`.
KINDS = {
    errno.ENOSPC: "space",
    errno.EDQUOT: "space",
    errno.EROFS: "permission",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOMEM: "out_of_memory",
    errno.EMFILE: "limit",
    errno.ENFILE: "limit",
    errno.EAGAIN: "limit",
    errno.EIO: "storage",
    errno.ESTALE: "storage",
    errno.ENODEV: "storage",
}
# Libraries in C++, and the programs that they call, pass on no number, but the words for it.
SAID = {os.strerror(number): kind for number, kind in KINDS.items()} | {
    "can't allocate memory": "out_of_memory",  # torch
    "bad_alloc": "out_of_memory",
    "out of memory": "out_of_memory",
    "failed to map segment": "permission",  # the loader, of a library on a disk that is mounted noexec
    # What TVM writes to a device whose disk is full is cut off without a word.
    "does not look like a tar archive": "storage",
    "unexpected eof in archive": "storage",
    "file too short": "storage",
    "invalid elf header": "storage",
}
WORDS = re.compile("|".join(map(re.escape, SAID)), re.IGNORECASE)
LEAST_SPACE = 1 << 20  # bytes; torch says of a full disk no more than that it could not write
LEAST_MEMORY = 1 << 26  # bytes


def kind_of(error: BaseException, folder: Path | None = None) -> str | None:
    """Return the kind of failure that `error`, or an error behind it, tells of the surroundings; None if of the stack.

    Parameters
    ----------
    folder
        That was written into, where anything was. A disk that is full explains any error, and so does a process that
        gets no more memory.
    """
    for each in _chain(error):
        if kind := _kind_of(each):
            return kind
    if is_starved():
        return "out_of_memory"
    return "space" if is_full(folder) or is_full(Path(tempfile.gettempdir())) else None


def is_starved() -> bool:
    """Tell whether this process gets no more memory: libraries say of that what they like, or fail to be loaded."""
    try:
        mmap.mmap(-1, LEAST_MEMORY).close()
    except (OSError, ValueError):
        return True
    return False


def is_full(folder: Path | None) -> bool:
    """Tell whether the disk that a folder lies on, or the quota there, leaves no room to write; False if unknown."""
    try:
        return folder is not None and shutil.disk_usage(folder).free < LEAST_SPACE
    except OSError:
        return False


def _kind_of(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno in KINDS:
        return KINDS[error.errno]
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "connection"
    said = WORDS.search(str(error)) if isinstance(error, RuntimeError | OSError) else None
    return next(kind for words, kind in SAID.items() if words.lower() == said[0].lower()) if said else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from or beside, the latest first."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
