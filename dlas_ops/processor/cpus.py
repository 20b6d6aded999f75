"""TVM target of a CPU → what schedules must know of it: vectors, registers, throughputs, caches, cores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from dlas_ops._types import Target
from dlas_ops.processor import bfloat


@dataclass(frozen=True)
class Cpu:
    """A processor as a schedule sees it; caches, throughputs and latencies are one core's.

    Attributes
    ----------
    vector_bits, vector_registers : of the vectors that are computed with
    spare_registers : that a tile must leave: to a product, where to multiply and to add are two instructions; to loads
        under way, where arithmetic does not read from memory
    multiply_adds : vectors of float32 multiplied and added per cycle
    latency : cycles until a sum can be added to again
    loads : vectors loaded per cycle, out of the L1 cache
    l2_loads : vectors loaded per cycle, out of the L2 cache
    l1_bytes, l2_bytes : sizes of the data caches
    dot : the instruction that multiplies small integers and adds neighbouring products into 32 bits; "": there is none
    half : whether vectors of float16 can be computed with
    half_loads : whether vectors of float16 can be converted to float32 by an instruction
    bfloat : the instruction that multiplies bfloat16 and adds neighbouring products to float32 sums; "": there is none,
        or vectors of float32 are faster and there are no matrices of bfloat16
    bfloat_multiply_adds : vectors of bfloat16 multiplied and added per cycle
    matrix : whether instructions multiply matrices of 8-bit integers, and of bfloat16
    permutes_bytes : whether an instruction gathers bytes from two vector registers, by the bytes of a third
    cores : that the network may run on
    wake_cycles : what it costs to hand work to another core
    """

    vector_bits: int
    vector_registers: int
    spare_registers: int
    multiply_adds: float
    latency: int
    loads: float
    l2_loads: float
    l1_bytes: int
    l2_bytes: int
    dot: str
    half: bool
    half_loads: bool
    bfloat: str = ""
    bfloat_multiply_adds: float = 0
    matrix: bool = False
    permutes_bytes: bool = False
    cores: int = 1
    wake_cycles: int = 2048

    def lanes(self, dtype_bits: int = 32) -> int:
        """Elements of `dtype_bits` in one vector register."""
        return self.vector_bits // dtype_bits

    @property
    def bfloat_in_vectors(self) -> str:
        """`bfloat` where vectors of it are faster than those of float32; "" where only its matrices are."""
        return self.bfloat if bfloat.PAIR * self.bfloat_multiply_adds > self.multiply_adds else ""

    @property
    def tile_registers(self) -> int:
        """Vector registers for the sums, weights and inputs of a tile."""
        return self.vector_registers - self.spare_registers

    @property
    def least_parallel(self) -> int:
        """Multiply-adds that take one core as long as to wake another."""
        return int(self.wake_cycles * self.multiply_adds * self.lanes())


def _row(
    needs: str, bits: int, registers: int, spare: int, multiply_adds: float, latency: int, loads: float,
    l2_loads: float, l1_kib: int, l2_kib: int, dot: str, half: bool, half_loads: bool,
) -> tuple[set[str], Cpu]:  # fmt: skip
    caches = l1_kib * 1024, l2_kib * 1024
    cpu = Cpu(bits, registers, spare, multiply_adds, latency, loads, l2_loads, *caches, dot, half, half_loads)
    return set(needs.split()), cpu


# The features that a processor must offer, by LLVM's names of features and processors → its description. The first
# row whose needs are met counts, so special ones stand first. Figures are rough, those of a common core of the row and
# of its smaller caches: the rules that read them choose between tiles, they do not predict times.
# fmt: off
_TABLE = (
    # needs                               bits regs spare m-a lat. loads from L1, L2; KiB   dot      half   loads
    _row("avx512fp16 avx512vnni",         512, 32,   0,   2,  4,   2, 0.5, 48, 2048, "vpdpbusd", True,  True),
    _row("avx512bw avx512vnni znver4",    512, 32,   0,   1,  4,   1, 0.5, 32, 1024, "vpdpbusd", False, True),
    _row("avx512bw avx512vnni",           512, 32,   0,   2,  4,   2, 0.5, 32, 1024, "vpdpbusd", False, True),
    _row("avx512bw",                      512, 32,   0,   2,  4,   2, 0.5, 32, 1024, "vpmaddwd", False, True),
    _row("avx2 fma avxvnni",              256, 16,   0,   2,  4,   2, 0.5, 32, 1024, "vpdpbusd", False, True),
    _row("avx2 fma f16c",                 256, 16,   0,   2,  4,   2, 0.5, 32,  512, "vpmaddwd", False, True),
    _row("sse2",                          128, 16,   2,   1,  4,   1, 1.0, 32,  256, "vpmaddwd", False, False),
    _row("aarch64 neon dotprod fullfp16", 128, 32,   3,   2,  4,   2, 1.0, 32,  512, "sdot",     True,  True),
    _row("aarch64 neon dotprod",          128, 32,   3,   2,  4,   2, 1.0, 32,  512, "sdot",     False, True),
    _row("aarch64 neon",                  128, 32,   3,   1,  4,   1, 1.0, 32,  512, "",         False, True),
    _row("",                              128, 16,   2,   1,  4,   1, 1.0, 32,  256, "",         False, False),
)
# fmt: on


def describe_cpu(target: Target) -> Cpu:
    """Return the description of `target`, a ``tvm.target.Target`` of kind llvm.

    It is found by what LLVM says that the target's ``mcpu`` and ``mattr`` offer. An unknown processor counts as one
    with 16 registers of 128 bits.
    """
    offered = _features(target)
    row = next(cpu for needs, cpu in _TABLE if needs <= offered)
    wide = row.vector_bits == 512
    permutes, pairs = "avx512vbmi" in offered and wide, {"avx512bf16", "avx512vl"} <= offered and wide
    # Processors with half arithmetic begin with a product of vectors of bfloat16 every other cycle only (measured on
    # Emerald Rapids): vectors of float32 are faster there, and matrices of bfloat16 faster still.
    pace = 0.5 if row.half and wide else row.multiply_adds
    matrix = {"amx-tile", "amx-int8", "amx-bf16"} <= offered
    instruction = "vdpbf16ps" if pairs else "bfdot" if {"aarch64", "neon", "bf16"} <= offered else ""
    cores = int(target.attrs.get("num-cores", 1))
    cpu = replace(
        row, permutes_bytes=permutes, bfloat=instruction, bfloat_multiply_adds=pace, matrix=matrix, cores=cores
    )
    return cpu if matrix else replace(cpu, bfloat=cpu.bfloat_in_vectors)


@cache
def _features(target: Target) -> frozenset[str]:
    """Return LLVM's names of what `target` offers, its processor's name and, where it is one, aarch64."""
    from dlas_ops._tvm import tvm

    found = {str(name) for name in tvm.target.codegen.llvm_get_cpu_features(target)}
    found.add(str(target.attrs.get("mcpu", "")))
    if target.attrs.get("feature.is_aarch64"):
        found.add("aarch64")
    return frozenset(found)
