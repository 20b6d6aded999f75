"""Protocols of a file in ``kernels/algorithms`` and of its counterpart in ``kernels/sparse``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from dlas_ops._types import SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse.csr import Csr
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.tunables import Choice, Space

# What a definition can be laid out for.
P_contra = TypeVar("P_contra", contravariant=True)


class Definition(Protocol[P_contra]):
    """A way to compute convolutions, for one format of weights: what is computed, and how it is laid out."""

    @property
    def DTYPES(self) -> tuple[str, ...]:
        """The dtypes of weights and activations that it runs."""

    def supports(self, conv: Conv, target: Target) -> str | None:
        """Return why this algorithm cannot run `conv` on `target`, or None."""

    def block(self, channels: int, processor: P_contra, /) -> int:
        """Return the channel block of its activations, or `points_innermost.POINTS`."""

    def pack(self, weight: np.ndarray, conv: Conv, processor: P_contra, /) -> np.ndarray | tuple[np.ndarray, ...]:
        """Pack OIHW weights: one array, or the three of compressed sparse rows."""

    @property
    def compute(self) -> Callable[..., Tensor]:
        """The definition: `Conv`, input, each part of the packed weights, processor → output, both in its own layout.

        One for integers also takes their `border`: what lies around the map.
        """

    def tunables(self, sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
        """Return the choices of `schedule`, the rule-based value of each first."""

    def schedule(self, sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
        """Schedule the definition that `block` is the heart of for a CPU."""


class Algorithm(Definition[Processor], Protocol):
    """An algorithm for dense weights, with a schedule for each kind of processor.

    A file in ``kernels/algorithms`` also has ``FORMATS``, the weight formats that it or its counterpart in
    ``kernels/sparse`` implements, and ``HALF``, True if it multiplies float16 in float16 where the processor can.
    """

    def tunables_gpu(self, sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
        """Return the choices of `schedule_gpu`, the rule-based value of each first."""

    def schedule_gpu(self, sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
        """Schedule the definition that `block` is the heart of for a GPU."""


class SparseAlgorithm(Definition[Cpu], Protocol):
    """An algorithm for weights in compressed sparse rows, which CPUs run.

    A file whose convolutions GPUs run as well also has ``GPU_DTYPES``, the dtypes that it runs there, and the functions
    of `Algorithm` for GPUs.
    """

    def pack(self, weight: np.ndarray, conv: Conv, processor: Cpu, /) -> Csr:
        """Pack OIHW weights as compressed sparse rows."""

    def tiled(self, sch: Schedule, block: SBlock, choice: Choice) -> SBlock:
        """Put loops, as `choice` has them, in the place of the definition; return the block that sums."""
