"""Folder of the user's own code → its modules, found and run as in Python, while this process keeps its settings.

A module of the user's may have the name of one that the explorer's libraries import later. So the folder comes last on
`sys.path`, and only what code in the folder itself imports is looked for there first.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from operator import attrgetter
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from explorer.core.errors import ExplorerError

_FOLDERS: list[str] = []  # that modules of the user's own are imported from in this process

EXPLORERS = tuple(str(Path(__file__).parents[2] / package) for package in ("explorer", "dlas_ops"))

# What torch computes with, which a module may set and which would change every later stage of the same process.
TORCH_SETTINGS = (
    ("get_default_dtype", "set_default_dtype"),
    ("get_num_threads", "set_num_threads"),
    ("is_grad_enabled", "set_grad_enabled"),
    ("is_anomaly_enabled", "autograd.set_detect_anomaly"),
    ("get_deterministic_debug_mode", "set_deterministic_debug_mode"),
    ("get_float32_matmul_precision", "set_float32_matmul_precision"),
)
CUDNN_SETTINGS = ("enabled", "benchmark", "deterministic")


def make_importable(folder: Path) -> None:
    """Make Python find modules of the user's own in `folder`, before those of folders that it was told before.

    Code in the folder finds them before any others but those of the standard library, all other code after them.
    """
    place = str(folder.absolute())
    if place in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return  # what is installed is found anyway, and is nobody's own
    if place in _FOLDERS:
        _FOLDERS.remove(place)
    _FOLDERS.insert(0, place)
    if place not in sys.path:
        sys.path.append(place)
    if not any(isinstance(finder, _OwnFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OwnFinder())


def load(module: str, of: str) -> ModuleType:
    """Import and return a module of the user's own, which sees a command line without arguments.

    Parameters
    ----------
    of
        What names it, for the message.

    Raises
    ------
    ExplorerError
        If it cannot be imported, or ends Python; the message names the file and the line.
    """
    with settings_kept(), _heard() as last_line:
        try:
            with _arguments(module):
                return importlib.import_module(module)
        except SystemExit as end:
            said = f", after it wrote '{line}'" if (line := last_line()) else ""
            raise ExplorerError(
                f"'{module}' of '{of}' ended Python while it was imported: {_named(end)}{place_of(end)}{said}"
            ) from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the user's module raises
            raise ExplorerError(f"cannot import '{module}' of '{of}': {_named(error)}{place_of(error)}") from error


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the user's own as one that leaves this process's settings as they were."""

    def call(*arguments: Any, **options: Any) -> Any:
        with settings_kept():
            return function(*arguments, **options)

    with contextlib.suppress(AttributeError):
        functools.update_wrapper(call, function, updated=())
    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Undo at the end what happens meanwhile to the settings of torch, NumPy and warnings, which others depend on."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    with warnings.catch_warnings(), numpy.errstate() if numpy else contextlib.nullcontext():
        undo = _torch_settings(torch) if torch else []
        try:
            yield
        finally:
            for each in undo:
                each()


def place_of(error: BaseException) -> str:
    """Return " (file:line)" of the last line of the user's own code that an error came through; "" without one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    found, trace = "", error.__traceback__
    while trace is not None:
        if _is_own(trace.tb_frame.f_code.co_filename):
            found = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found


class _OwnFinder(MetaPathFinder):
    """Finds top-level modules in the folders of the user's own, for code of those folders."""

    wanted: str | None = None  # the module that the explorer itself asks for

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if path is not None or name in sys.stdlib_module_names:
            return None
        importer = None if name == _OwnFinder.wanted else _importer()
        for folder in _FOLDERS:
            if importer is None or _is_below(importer, folder):
                spec = PathFinder.find_spec(name, [folder])
                if spec is not None and spec.origin is not None:  # no folder without an __init__.py
                    return spec
        return None


def _importer() -> str:
    """Return the file of the code that imports something."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and file not in (__file__, importlib.__file__):
            return file
        frame = frame.f_back
    return ""


def is_running() -> bool:
    """Tell whether code of the user's own has called what asks."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_own(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def _is_own(file: str) -> bool:
    return not any(_is_below(file, place) for place in EXPLORERS) and any(
        _is_below(file, folder) for folder in _FOLDERS
    )


def _is_below(file: str, folder: str) -> bool:
    return file.startswith(folder.rstrip(os.sep) + os.sep)


def _named(error: BaseException) -> str:
    text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def _arguments(module: str) -> Iterator[None]:
    """Have a command line of the module alone; it stays so for what is imported later."""
    top = module.partition(".")[0]
    spec = next((found for place in _FOLDERS if (found := PathFinder.find_spec(top, [place]))), None)
    sys.argv = [(spec.origin if spec else None) or module]
    _OwnFinder.wanted = top
    try:
        yield
    finally:
        _OwnFinder.wanted = None


def _torch_settings(torch: Any) -> list[Callable[[], object]]:
    """Return functions that give torch's settings the values that they have now."""
    undo: list[Callable[[], object]] = []
    for read, write in TORCH_SETTINGS:
        undo.append(functools.partial(attrgetter(write)(torch), getattr(torch, read)()))
    for name in CUDNN_SETTINGS:
        undo.append(functools.partial(setattr, torch.backends.cudnn, name, getattr(torch.backends.cudnn, name)))
    device = torch.get_default_device()
    undo.append(lambda: None if torch.get_default_device() == device else torch.set_default_device(None))
    return undo


class _Heard:
    """A stream that keeps the last line written to it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.last = ""

    def write(self, text: str) -> int:
        if lines := [line.strip() for line in text.splitlines() if line.strip()]:
            self.last = lines[-1]
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _heard() -> Iterator[Callable[[], str]]:
    """Give a function that returns the last line written meanwhile to standard error, or else to standard output."""
    output, error = _Heard(sys.stdout), _Heard(sys.stderr)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        yield lambda: error.last or output.last
