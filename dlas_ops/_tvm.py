"""One place that imports TVM, without torch: tvm-ffi would load torch when it finds it, for 4 s and much memory."""

from __future__ import annotations

import sys

_hidden = "torch" not in sys.modules
if _hidden:
    sys.modules["torch"] = None  # type: ignore[assignment]
try:
    import tvm
    import tvm.relax
    import tvm.s_tir
    import tvm.te
    import tvm.tirx
finally:
    if _hidden:
        del sys.modules["torch"]

__all__ = ["tvm"]
