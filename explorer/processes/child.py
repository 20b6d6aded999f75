"""A module's name → a process of this Python that runs it, spoken to through its standard input and output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from explorer.core.files import regular
from explorer.processes import temporary

HOME = Path(__file__).parents[2]
# A process works in the user's folder, where a file may have the name of any module: -P keeps Python from searching it.
# The explorer's own packages are those of this process, wherever it found them.
START = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); import explorer, dlas_ops; "
    "sys.path.append(sys.path.pop(0)); runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def start(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start ``python -P -m module arguments``, whose standard error is appended to `log`.

    The module is one of the explorer's, or lies where Python finds modules from any folder.

    Parameters
    ----------
    environment
        Variables that it has beside those of this process.
    folder
        That it works in; this process's unless given.

    Raises
    ------
    ExplorerError
        If it had no folder for temporary files.
    """
    with regular.appended(log) as stderr:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", START, str(HOME), module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, "TMPDIR": temporary.folder(), **environment},
            # Ctrl-C reaches the explorer alone, which ends its processes itself.
            start_new_session=True,
        )
