"""TVM target of a GPU → what schedules must know of it: vectors, registers, threads, shared memory, units."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dlas_ops._types import Target
from dlas_ops.processor.cpus import describe_cpu


@dataclass(frozen=True)
class Gpu:
    """A graphics processor as a schedule sees it.

    A work-group is what CUDA calls a block; shared memory is what OpenCL calls local memory.

    Attributes
    ----------
    vector : elements of 32 bits that a thread reads at once
    vector_cycles : cycles of a multiply-add of such a vector, in those of a read of one
    sums : vectors of float32 sums that a thread keeps in registers, besides a row of operands
    threads : threads of a work-group
    warp : neighbouring threads that run in step, and whose reads of neighbouring addresses are one
    shared_bytes : memory that the threads of a work-group share, where it is faster than the caches; else 0
    units : work-groups of `threads` threads that run at once
    dot : the instruction that multiplies four int8 and adds the products into 32 bits; "": there is none
    half : whether vectors of float16 can be computed with
    half_loads : whether float16 can be read and written
    """

    vector: int
    vector_cycles: float
    sums: int
    threads: int
    warp: int
    shared_bytes: int
    units: int
    dot: str = ""
    half: bool = False
    half_loads: bool = True

    def lanes(self, dtype_bits: int = 32) -> int:
        """Channels in a block of activations, of whatever dtype: those of a vector of 32 bits."""
        return self.vector

    @property
    def stages(self) -> bool:
        """Whether threads of a work-group pay to bring operands to shared memory first."""
        return self.shared_bytes > 0


KIB = 1024

# Kind of target, and prefix of its `device` (OpenCL) or `arch` (CUDA) → the family. The first row that fits counts.
# Figures are rough, those of a common chip of the family: the rules that read them choose between tiles, they do not
# predict times. Mali has no memory for work-groups beside its caches: what OpenCL calls local lies in main memory.
_TABLE: tuple[tuple[str, str, Gpu], ...] = (
    # kind, family                vector, cycles, sums, threads, warp, shared, units, dot
    ("opencl", "mali-bifrost", Gpu(4, 2, 8, 64, 8, 0, 6)),
    ("opencl", "mali", Gpu(4, 2, 8, 64, 16, 0, 10, "arm_dot")),
    ("opencl", "adreno", Gpu(4, 2, 8, 128, 64, 32 * KIB, 4)),
    ("opencl", "intel", Gpu(4, 2, 8, 128, 16, 32 * KIB, 12)),
    ("opencl", "", Gpu(4, 4, 8, 64, 16, 0, 8)),
    ("cuda", "sm_5", Gpu(4, 4, 12, 256, 32, 48 * KIB, 8)),
    ("cuda", "sm_60", Gpu(4, 4, 12, 256, 32, 48 * KIB, 16)),
    ("cuda", "sm_7", Gpu(4, 4, 12, 256, 32, 48 * KIB, 8, "dp4a")),
    ("cuda", "sm_8", Gpu(4, 4, 12, 256, 32, 48 * KIB, 16, "dp4a")),
    ("cuda", "sm_9", Gpu(4, 4, 16, 256, 32, 48 * KIB, 264, "dp4a")),
    ("cuda", "", Gpu(4, 4, 12, 256, 32, 48 * KIB, 16, "dp4a")),
)

# The family of processors that run OpenCL: a work-group is one thread, which computes with the host's vectors.
POCL = "pocl"

# The families that a target of kind opencl may name, as the beginning of its `device`.
FAMILIES = (*(family for kind, family, _ in _TABLE if kind == "opencl" and family), POCL)


def describe_gpu(target: Target) -> Gpu:
    """Return the description of `target`, a ``tvm.target.Target`` of kind opencl or cuda.

    The family is the target's ``device`` (mali, mali-bifrost, adreno, intel, pocl) or ``arch`` (sm_72); what the target
    says of threads, warps and shared memory counts where that is less than the family has.
    """
    kind, attributes = str(target.kind.name), target.attrs
    family = str(attributes.get("arch" if kind == "cuda" else "device", ""))
    if kind == "opencl" and family == POCL:
        return _of_host(target)
    row = next(gpu for its_kind, prefix, gpu in _TABLE if its_kind == kind and family.startswith(prefix))
    threads = min(row.threads, *(int(attributes.get(name, row.threads)) for name in _THREADS))
    shared = min(row.shared_bytes, int(attributes.get("max_shared_memory_per_block", row.shared_bytes)))
    return replace(row, threads=threads, warp=min(row.warp, threads), shared_bytes=shared)


_THREADS = ("max_threads_per_block", "max_num_threads")


def _of_host(target: Target) -> Gpu:
    cpu = describe_cpu(target.host)
    return Gpu(cpu.lanes(), 1, cpu.tile_registers, 1, 1, 0, cpu.cores, half_loads=cpu.half_loads)
