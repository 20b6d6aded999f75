"""A module's name → a process of this Python that runs it, spoken to through its standard input and output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def start(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start ``python -m module arguments``, whose standard error is appended to `log`.

    Parameters
    ----------
    environment
        Variables that it has beside those of this process.
    folder
        That it works in; this process's unless given.
    """
    with log.open("ab") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, **environment},
            # Ctrl-C reaches the explorer alone, which ends its processes itself.
            start_new_session=True,
        )
