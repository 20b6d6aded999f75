"""The folder for temporary files, as TMPDIR says → one that sockets, TVM and shared libraries can use.

Batch systems give every job a folder of its own, whose path is long. A socket's path has at most 107 bytes, which the
helpers of `multiprocessing` and Ray add about 65 to: a link with a short name stands for such a folder. TVM needs
UTF-8, and takes ``.tar`` out of the whole path of a library that it unpacks; from a file system that is mounted noexec
no library can be loaded. Another folder takes the place of such ones.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from explorer.core.errors import ExplorerError

MOST = 40  # characters of the path
OTHERS = ("/tmp", "/var/tmp", "/dev/shm")


@cache
def folder() -> str:
    """Return the folder that processes of the explorer, and libraries in it, put temporary files into.

    Raises
    ------
    ExplorerError
        If there is none.
    """
    given = tempfile.gettempdir()
    found = next((place for place in (given, *OTHERS) if suits(place)), None)
    if found is None:
        raise ExplorerError(
            f"the folder for temporary files, {given!r}, cannot be used, and none of {', '.join(OTHERS)}: libraries "
            "cannot be loaded there (it is mounted noexec), or its path has .tar or what is not UTF-8 in it; set "
            "TMPDIR to another folder"
        )
    return found if len(found) <= MOST else _link(found)


def suits(place: str) -> bool:
    """Tell whether TVM can write libraries into a folder and load them."""
    real = os.path.realpath(place)  # which TVM takes in place of a link
    is_text = not any("\ud800" <= character <= "\udfff" for character in real)
    return is_text and ".tar" not in real and loads(Path(place)) and os.access(place, os.W_OK | os.X_OK)


def loads(place: Path) -> bool:
    """Tell whether a shared library can be loaded from a folder."""
    try:
        return not os.statvfs(place).f_flag & os.ST_NOEXEC
    except OSError:
        return False


def _link(long: str) -> str:
    """Return a link to a folder, in a folder of this process' own, which is removed when this process ends."""
    for place in OTHERS:
        with contextlib.suppress(OSError):
            own = tempfile.mkdtemp(prefix="dlas-", dir=place)
            link = os.path.join(own, "tmp")
            os.symlink(long, link)
            atexit.register(_remove, own, os.getpid())
            return link
    raise ExplorerError(
        f"the path of the folder for temporary files, '{long}', has more than {MOST} characters, which is too long for "
        f"sockets, and none of {', '.join(OTHERS)} can have a link to it; set TMPDIR to another folder"
    )


def _remove(own: str, process: int) -> None:
    if os.getpid() == process:  # not one that was forked
        shutil.rmtree(own, ignore_errors=True)
