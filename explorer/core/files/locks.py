"""File → a lock between processes and threads, which the kernel frees when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from explorer.core.errors import Failure, StageFailed
from explorer.core.files import regular

# Seconds between two looks at a lock that is taken: few at first, and then enough for a long training or a measurement
# not to notice. A call that blocks would not end with the explorer.
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02


def opened(path: Path) -> IO[bytes]:
    """Open the file of a lock, which is made if there is none, in place of whatever else may lie there."""
    return regular.appended(path, "ab+")


def taken(handle: IO[Any]) -> bool:
    """Take the lock of an open file unless another process or thread has it; tell whether it is taken now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def held(path: Path, stopping: threading.Event) -> Iterator[None]:
    """Hold the lock of the file at `path`, which is made if there is none, once no other thread or process does.

    Raises
    ------
    StageFailed
        Of kind ``stopped`` if `stopping` is set meanwhile.
    """
    with opened(path) as handle:
        pause = FIRST_PAUSE
        while not taken(handle):
            if stopping.is_set():
                raise StageFailed(Failure("", "stopped", "the explorer was stopped"))
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        yield
