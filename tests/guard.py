"""A command → the same with all that it starts, gone when its context ends or the process that holds it is killed.

``python guard.py COMMAND …`` leads the process group that it ends once its standard input closes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


@contextlib.contextmanager
def guarded(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in `folder`, whose file "log" gets what it prints; its exit code is that of the process given.

    Parameters
    ----------
    environment
        Variables that it has beside those of this process.
    """
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def main(command: Sequence[str]) -> int:
    """Return the command's exit code, unless standard input closes before it ends."""
    threading.Thread(target=_watch, daemon=True).start()
    return subprocess.run(command, stdin=subprocess.DEVNULL).returncode


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
