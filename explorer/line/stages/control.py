"""Target → the control's programs for it as a library; see `dlas_ops.control`."""

from __future__ import annotations

from pathlib import Path

import tvm

from dlas_ops import control
from explorer.line.contracts.control import Parameters, Parents, Values
from explorer.line.control import LIBRARY

VERSION = 2
WORKER = "tvm"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the library."""
    control.build(tvm.target.Target(parameters.target)).export_library(str(out / LIBRARY))
    return {}
