"""Programs that TVM calls to link libraries → the first that is missing, in a sentence that says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from explorer.core.errors import ExplorerError

COMPILERS = ("g++", "gcc", "clang++", "clang", "c++", "cc")  # the first of them is taken, as `tvm.support.cc` does
ARCHIVER = "tar"
LINK_SECONDS = 60


def chosen() -> str | None:
    """Return the compiler that TVM takes; None if there is none."""
    return os.environ.get("CXX") or os.environ.get("CC") or next(filter(shutil.which, COMPILERS), None)


def lacking() -> str | None:
    """Return which program is missing, in one sentence; None if all are there."""
    if not shutil.which(ARCHIVER):
        return _missing(f"program '{ARCHIVER}'", ARCHIVER)
    if compiler := chosen():
        return None if shutil.which(compiler) else _missing(f"compiler '{compiler}', which CXX or CC names,", "it")
    return _missing(f"C compiler ({', '.join(COMPILERS)})", "one")


def check() -> None:
    """Link an empty library, as TVM will link networks.

    Raises
    ------
    ExplorerError
        If a program is missing, or the compiler cannot link.
    """
    if message := lacking():
        raise ExplorerError(message)
    compiler = str(chosen())
    with tempfile.TemporaryDirectory(prefix="dlas-link-") as folder:
        source = Path(folder, "empty.c")
        source.touch()
        command = [compiler, "-shared", "-fPIC", "-o", str(source.with_suffix(".so")), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LINK_SECONDS)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ExplorerError(f"compiler '{compiler}' cannot link a library: {said[0][:200]}")


def _missing(what: str, name: str) -> str:
    return f"no {what} in PATH ({os.environ.get('PATH', '')}): install {name}; TVM links networks with it"
