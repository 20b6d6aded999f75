"""TVM target → what schedules must know about the processor: vector width, registers, caches, cores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Cpu:
    """A processor as a schedule sees it; sizes are per core, in bytes.

    `dot` names the instruction that multiplies small integers and adds neighbouring products into 32 bits, "" where
    there is none; `half` tells whether vectors of float16 can be computed with.
    """

    vector_bits: int
    vector_registers: int
    l1_bytes: int
    l2_bytes: int
    cores: int
    dot: str = ""
    half: bool = False

    def lanes(self, dtype_bits: int = 32) -> int:
        """Elements of `dtype_bits` in one vector register."""
        return self.vector_bits // dtype_bits


# Cores with AVX-512 and more than 1 MiB of L2 cache.
_L2_BYTES = dict.fromkeys(("sapphirerapids", "emeraldrapids", "graniterapids"), 2 * 1024 * 1024)


def native_target() -> dict[str, Any]:
    """Return the TVM target of this machine: its LLVM processor name and the cores this process may use."""
    from dlas_ops._tvm import tvm

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu(), "num-cores": cores}


def describe(target: Any) -> Cpu:
    """Return the description of `target` (a ``tvm.target.Target`` of kind llvm).

    The vector width is what LLVM says that the target's ``mcpu`` and ``mattr`` offer. An unknown processor counts as
    one with 128-bit vectors (x86-64-v2 or NEON). Cache sizes are what current server and desktop cores have at least.
    """
    attributes = target.attrs
    features = _features(target)
    cores = int(attributes.get("num-cores", 1))
    if "avx512f" in features:
        l2 = _L2_BYTES.get(str(attributes.get("mcpu")), 1024 * 1024)
        dot = "vpdpbusd" if "avx512vnni" in features else "vpmaddwd" if "avx512bw" in features else ""
        return Cpu(512, 32, 32 * 1024, l2, cores, dot, "avx512fp16" in features)
    if "avx2" in features and "fma" in features:
        dot = "vpdpbusd" if "avxvnni" in features else "vpmaddwd"
        return Cpu(256, 16, 32 * 1024, 512 * 1024, cores, dot)
    if "neon" in features:
        dot = "sdot" if "dotprod" in features else ""
        return Cpu(128, 32, 32 * 1024, 512 * 1024, cores, dot, "fullfp16" in features)
    return Cpu(128, 16, 32 * 1024, 256 * 1024, cores, "vpmaddwd" if "sse2" in features else "")


@cache
def _features(target: Any) -> frozenset[str]:
    from dlas_ops._tvm import tvm

    return frozenset(str(name) for name in tvm.target.codegen.llvm_get_cpu_features(target))
