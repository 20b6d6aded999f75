"""Peaks of a device and the work of a program → the least time that the device needs for it, and what bounds it.

The roofline of Williams, Waterman and Patterson (Communications of the ACM 52, 2009), with the memory that counts for
weights: a network reads each once a run, so they come from the cache, or the memory, that holds all that it reads in
between. The rate is measured on as many bytes as the network holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from dlas_ops.processor.matrix import IN_MATRICES

ARITHMETIC, WEIGHTS, THREADS, KERNEL = "arithmetic", "reading weights", "waking threads", "its kernel"
# Share of a program's time from which what bounds it is named; below, it is the kernel that is far from all bounds.
BOUND_FROM = 0.4


class Bounds(NamedTuple):
    """The least microseconds that a device needs for a program, by what.

    Parameters
    ----------
    arithmetic
        Its multiplications at the peak of their dtype.
    weights
        Reading its weights.
    threads
        For its threads to begin and end; 0 on one thread and where that was not measured.
    """

    arithmetic: float
    weights: float
    threads: float

    @property
    def least_us(self) -> float:
        """The roofline: the longer one of arithmetic and reading, which go on at once."""
        return max(self.arithmetic, self.weights)

    def by(self, us: float) -> str:
        """Return what bounds a program that takes `us`."""
        name, least = max(
            ((ARITHMETIC, self.arithmetic), (WEIGHTS, self.weights), (THREADS, self.threads)), key=lambda each: each[1]
        )
        return name if least >= BOUND_FROM * us else KERNEL


class Machine(NamedTuple):
    """The peaks of a device as a profile has measured them.

    Parameters
    ----------
    gflop_s
        Of float32, in 1e9 multiplications and additions per second.
    gb_s
        Of reading as many bytes as the network holds.
    wake_us
        What the threads take to begin and end; None on one thread, and where it was not measured.
    lanes
        Numbers of float32 in a vector.
    dot, dot_values
        The instruction that multiplies 8-bit integers, "" for none, and how many products take the time of one of
        float32.
    half
        Whether it multiplies vectors of float16.
    bfloat16_values
        How many products of bfloat16 take the time of one of float32; 1 where no instruction multiplies them.
    matrices
        The same of matrices: dtype → products, of those that an instruction multiplies matrices of.
    """

    gflop_s: float
    gb_s: float
    wake_us: float | None
    lanes: int
    dot: str
    dot_values: float
    half: bool
    bfloat16_values: float = 1  # records of before there was any lack it, and the next
    matrices: Mapping[str, float] = {}

    @staticmethod
    def of(written: Mapping[str, Any], sessions: Sequence[Mapping[str, Any]]) -> Machine:
        """Return the machine of what the stage has written, by the `sessions` that count."""
        wakes = [each["wake_us"] for each in sessions if each["wake_us"] is not None]
        return Machine(
            gflop_s=max(each["gflop_s"] for each in sessions),
            gb_s=median(each["gb_s"] for each in sessions),
            wake_us=median(wakes) if wakes else None,
            **written["processor"],
        )

    def peak(self, arithmetic: str) -> float:
        """Return the GFLOP/s of a dtype: float32's, times the products that take the time of one of float32.

        Parameters
        ----------
        arithmetic
            As the account of layers has it, such as ``"int8"`` or ``"float32 (the processor has no …)"``. That of
            8-bit integers which an instruction takes as wider ones is ``"int16"``.
        """
        dtype = arithmetic.split(" ")[0].removesuffix(",")
        if arithmetic.endswith(IN_MATRICES):
            return self.gflop_s * self.matrices[dtype]
        if dtype in ("int8", "int16"):
            return self.gflop_s * self.dot_values
        if dtype == "bfloat16":
            return self.gflop_s * self.bfloat16_values
        return self.gflop_s * (2 if dtype == "float16" and self.half else 1)

    def bounds(self, macs: float, arithmetic: str, weight_bytes: int) -> Bounds:
        """Return the bounds of a program that computes so many multiply-accumulates and reads so many weights."""
        flop_us = 2 * macs / (1e3 * self.peak(arithmetic))
        return Bounds(flop_us, weight_bytes / (1e3 * self.gb_s), self.wake_us or 0.0)
