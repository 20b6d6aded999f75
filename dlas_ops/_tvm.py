"""The one place that imports TVM, and does so without torch."""

from __future__ import annotations

import sys

# Workaround: apache-tvm-ffi 0.1.14: it imports torch wherever it is installed, 4 s; tests/workarounds
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
