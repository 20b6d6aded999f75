"""Standard streams as the shell left them → streams that take every text, and how a command ends that cannot write."""

from __future__ import annotations

import io
import locale
import os
import sys
from typing import TYPE_CHECKING, TextIO

from explorer.core.errors import ExplorerError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIPE_CLOSED = 141  # what a shell says of a command that SIGPIPE ended
NAMES = {1: "standard output", 2: "standard error"}


class PipeClosed(SystemExit):
    """Whoever read what this process writes has ended, as ``head`` does: so does the command, and says nothing."""

    def __init__(self) -> None:
        super().__init__(PIPE_CLOSED)


class StreamError(ExplorerError):
    """A standard stream that cannot be written, such as one on a full disk."""


class _Descriptor(io.FileIO):
    """Standard output or error; what the system says against writing is an error of the user's, or `PipeClosed`."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise PipeClosed from None
        except OSError as error:
            raise StreamError(f"{NAMES[self.fileno()]} cannot be written: {error.strerror}") from None


def in_utf8() -> None:
    """Start the command anew in Python's UTF-8 mode (PEP 540) unless the locale's encoding is UTF-8 anyway.

    So one rule holds for the names of files, in which bytes are kept, for what files hold, and for worker processes,
    which take their mode from the environment. What is printed has the encoding that it would have had.
    """
    if sys.flags.utf8_mode or locale.getpreferredencoding(False).lower() in ("utf-8", "utf8"):
        return
    if os.environ.get("PYTHONUTF8") == "1":  # an option of Python's says otherwise
        return
    spoken = getattr(sys.stdout, "encoding", None) or "utf-8"
    environment = {"PYTHONIOENCODING": f"{spoken}:backslashreplace", **os.environ, "PYTHONUTF8": "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def prepare() -> None:
    """Make the standard streams ones that a command can use; streams that a caller put in their place stay.

    A stream that the shell closed reads and writes nothing; else the next file that is opened would take its place. A
    character that the encoding of a stream lacks, or a byte of a file's name that is no text, is written in digits.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    if sys.stdout is sys.__stdout__ and not _is_ours(sys.stdout):
        sys.stdout = _stream(1, sys.stdout)
    if sys.stderr is sys.__stderr__ and not _is_ours(sys.stderr):
        sys.stderr = _stream(2, sys.stderr)


def _is_ours(stream: TextIO | None) -> bool:
    return isinstance(getattr(getattr(stream, "buffer", None), "raw", None), _Descriptor)


def _stream(descriptor: int, given: TextIO | None) -> TextIO:
    buffer = io.BufferedWriter(_Descriptor(descriptor, "w", closefd=False))
    encoding = given.encoding if given else "utf-8"
    at_once = descriptor == 2 or buffer.isatty()
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=at_once)


def flush() -> None:
    """Write what is still held back.

    Raises
    ------
    StreamError
        If standard output cannot be written.
    PipeClosed
        If nobody reads it.
    """
    sys.stdout.flush()


def give_up() -> None:
    """Forget what could not be written, which Python would try once more, and complain about, when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if _is_ours(stream):
            try:
                stream.flush()
            except (StreamError, PipeClosed):
                os.dup2(nothing, stream.fileno())
    os.close(nothing)
