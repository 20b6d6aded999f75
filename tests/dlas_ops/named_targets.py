"""Processors by name → TVM targets: what a test reads off a schedule or assembly must not depend on the machine."""

from __future__ import annotations

from functools import cache

from dlas_ops._tvm import tvm
from dlas_ops._types import Target

ARM = {"mtriple": "aarch64-linux-gnu"}

# LLVM's name of the processor → what else the target says.
PROCESSORS: dict[str, dict[str, str]] = {
    "x86-64-v2": {},
    "x86-64-v3": {},
    "x86-64-v4": {},
    "znver4": {},
    "cooperlake": {},
    "sapphirerapids": {},
    "cortex-a72": ARM,
    "neoverse-n1": ARM,
    "neoverse-n2": ARM,
}


@cache
def named(mcpu: str, cores: int = 2) -> Target:
    """Return the target of the processor `mcpu` with so many cores."""
    return tvm.target.Target({"kind": "llvm", "mcpu": mcpu, "num-cores": cores, **PROCESSORS.get(mcpu, {})})
