"""What a file in ``kernels/algorithms``, and its counterpart in ``kernels/sparse``, must define to be an algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from dlas_ops._types import SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse.csr import Csr
from dlas_ops.processor.targets import Cpu
from dlas_ops.schedule.tunables import Choice, Space


class Algorithm(Protocol):
    """A way to compute convolutions, for one format of weights.

    A file in ``kernels/algorithms`` also has ``FORMATS``, the weight formats that it or its counterpart in
    ``kernels/sparse`` implements, and ``HALF``, True if it multiplies float16 in float16 where the processor can.

    Attributes
    ----------
    DTYPES : of the weights and activations that it runs
    """

    DTYPES: tuple[str, ...]

    def supports(self, conv: Conv, target: Target) -> str | None:
        """Return why this algorithm cannot run `conv` on `target`, or None."""

    def block(self, channels: int, cpu: Cpu) -> int:
        """Return the channel block of its activations, or `points_innermost.POINTS`."""

    def pack(self, weight: np.ndarray, conv: Conv, cpu: Cpu) -> np.ndarray | tuple[np.ndarray, ...]:
        """Pack OIHW weights: one array, or the three of compressed sparse rows."""

    @property
    def compute(self) -> Callable[..., Tensor]:
        """The definition: `Conv`, input, each part of the packed weights and `Cpu` → output, both in its own layout.

        One for integers also takes their `border`: what lies around the map.
        """

    def tunables(self, sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
        """Return the choices of `schedule`, the rule-based value of each first."""

    def schedule(self, sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
        """Schedule the definition that `block` is the heart of."""


class SparseAlgorithm(Algorithm, Protocol):
    """An algorithm for weights in compressed sparse rows."""

    def pack(self, weight: np.ndarray, conv: Conv, cpu: Cpu) -> Csr:
        """Pack OIHW weights as compressed sparse rows."""

    def tiled(self, sch: Schedule, block: SBlock, choice: Choice) -> SBlock:
        """Put loops, as `choice` has them, in the place of the definition; return the block that sums."""
