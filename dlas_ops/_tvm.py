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

# Workaround: apache-tvm 0.27: each primitive of a schedule looks up in its annotations what its arguments may be, which
# takes two thirds of the time that scheduling takes, and C++ refuses wrong ones all the same; tests/workarounds
for _name, _primitive in list(vars(tvm.s_tir.Schedule).items()):
    if hasattr(_primitive, "__wrapped__"):
        setattr(tvm.s_tir.Schedule, _name, _primitive.__wrapped__)

__all__ = ["tvm"]
