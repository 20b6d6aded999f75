"""Object files and their target → a shared library, where this machine is one of that kind; runs in a TVM worker."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvm.support import cc

from explorer.line.device import rpc
from explorer.line.probing.describe import likely


def linked(library: str, shared: str, target: Mapping[str, Any]) -> bool:
    """Link the object files `library` into the file `shared`; tell whether that was done.

    It is not where the target is for another architecture than this machine's, or there is no compiler here.
    """
    if likely(target) != platform.machine() or cc.get_cc() is None:
        return False
    rpc.link(Path(library), Path(shared))
    return True
