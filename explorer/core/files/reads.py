"""What code of the user's own does in this process → the files that it reads and the folders that it lists."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

LISTINGS = ("os.listdir", "os.scandir")
# Files of these modules list folders to find modules and packages, not to read what is in there.
LOOKING = ("<frozen importlib", "/importlib/", "/pkg_resources/")
HOME = Path(__file__).parents[3]
OURS = (HOME / "explorer", HOME / "dlas_ops")  # stages have versions for them
INSTALLED = ("site-packages", "dist-packages")
METADATA = (".egg-info", ".dist-info")  # endings of folders in which Python looks for entry points of packages
WRITING = os.O_WRONLY | os.O_RDWR


@dataclass
class Reads:
    """Absolute paths, as the code named them.

    Attributes
    ----------
    files : read, and not written before; a module's source stands for its compiled file
    folders : listed
    matters : tells of a read, while it happens, whether it is noted
    """

    matters: Callable[[], bool] = lambda: True

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    _written: set[str] = field(default_factory=set)

    def opened(self, path: object, flags: object) -> None:
        """Note that a file is opened, with the flags of `os.open`."""
        if (named := _absolute(path)) is None:
            return
        if isinstance(flags, int) and flags & WRITING:
            self._written.add(named)
        elif named not in self._written and self.matters():
            self.files.add(_source(named))

    def listed(self, path: object) -> None:
        """Note that a folder is listed."""
        if (named := _absolute(os.curdir if path is None else path)) is not None and not _looks_for_modules():
            self.folders.add(named)


_noting: Reads | None = None
_hooked = False


@contextlib.contextmanager
def noted(matters: Callable[[], bool] = lambda: True) -> Iterator[Reads]:
    """Give what the process reads until the context ends, as far as Python itself opens it.

    Within another such context it is noted in the inner one alone.
    """
    global _noting, _hooked
    if not _hooked:
        sys.addaudithook(_hear)  # for the rest of the process: Python removes none
        _hooked = True
    before, _noting = _noting, Reads(matters)
    try:
        yield _noting
    finally:
        _noting = before


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if (found := _noting) is not None and event in EVENTS:
        EVENTS[event](found, arguments)


def _imported(found: Reads, arguments: tuple[Any, ...]) -> None:
    if arguments[1] is not None:  # an extension's file; others are opened
        found.opened(arguments[1], os.O_RDONLY)


EVENTS: Mapping[str, Callable[[Reads, tuple[Any, ...]], None]] = {
    "open": lambda found, arguments: found.opened(arguments[0], arguments[2]),
    "import": _imported,
    "ctypes.dlopen": lambda found, arguments: found.opened(arguments[0], os.O_RDONLY),
    "sqlite3.connect": lambda found, arguments: found.opened(arguments[0], os.O_RDONLY),
    **dict.fromkeys(LISTINGS, lambda found, arguments: found.listed(arguments[0])),
}


def _absolute(path: object) -> str | None:
    """Return the absolute path of a file's name; None for a descriptor."""
    with contextlib.suppress(OSError):  # the folder that it starts from may be gone
        if isinstance(path, str | bytes | os.PathLike):
            return os.path.abspath(os.fsdecode(path))
    return None


def _source(path: str) -> str:
    """Return the source of a compiled module, and any other path as it is."""
    if path.endswith(".pyc") and Path(path).parent.name == "__pycache__":
        with contextlib.suppress(ValueError):
            return importlib.util.source_from_cache(path)
    return path


def _looks_for_modules() -> bool:
    """Tell whether it is Python's search for modules that lists a folder."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame is not None and any(part in frame.f_code.co_filename for part in LOOKING)


def counts(file: Path, root: Path, but: Iterable[Path]) -> bool:
    """Tell whether a file that was read is of the code's folder, or a module from elsewhere that is not installed.

    Parameters
    ----------
    root
        The code's folder.
    but
        Folders that do not count, such as the workspace.
    """
    if not file.is_file() or any(_is_below(file, place) for place in (*but, *OURS)):
        return False
    if any(part in INSTALLED or part.endswith(METADATA) for part in file.parts) or _is_below(
        file, Path(sysconfig.get_path("stdlib"))
    ):
        return False
    return is_inside(file, root) or (file.suffix == ".py" and not _is_below(file, Path(tempfile.gettempdir())))


def is_inside(path: Path, root: Path) -> bool:
    """Tell whether a path is below the root, and in no hidden folder such as a cache."""
    for base in (root.absolute(), root.resolve()):
        if path.is_relative_to(base):
            return not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(base).parts)
    return False


def _is_below(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder.absolute()) or path.is_relative_to(folder.resolve())
