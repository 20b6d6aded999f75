"""F(m x m, 3 x 3)'s transforms: as matrices, as straight-line code, and of kernels what the rest follows from.

A kernel of 3 x 3 has (m + 2)^2 elements when it is transformed, and 9 of them say all. Where kernels come from beyond
the caches, to read these 9 and to compute the others saves 7 of 16 reads for m = 2 and 27 of 36 for m = 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from dlas_ops._types import Expr, SBlock, Schedule

Matrix = NDArray[np.float64]

# Where the polynomials are evaluated, infinity aside, by m. Opposite points let two rows share their sums.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, sqrt(0.5), -sqrt(0.5), sqrt(2.0), -sqrt(2.0))}


def matrices(m: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return the transforms of F(m x m, 3 x 3), by the Toom-Cook construction.

    Returns
    -------
    Of the outputs (m, m + 2), of the kernel (m + 2, 3) and of the input (m + 2, m + 2): A^T, G and B^T of the paper.
    """
    points = POINTS[m]
    size = m + 2
    outputs, kernel, inputs = np.zeros((m, size)), np.zeros((size, 3)), np.zeros((size, size))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        outputs[:, row] = np.power(point, np.arange(m))
        kernel[row] = np.power(point, np.arange(3)) / np.prod([point - other for other in others])
        inputs[row, :-1] = np.poly(others)[::-1]
    outputs[-1, -1] = kernel[-1, -1] = 1
    inputs[-1] = np.poly(points)[::-1]
    return outputs.round(12), kernel, inputs.round(12)


def derive(sch: Schedule, copy: SBlock) -> None:
    """Have block `copy`, of whole transformed kernels, read 9 elements of each and compute the others from them."""
    from dlas_ops._tvm import tvm

    tirx = tvm.tirx
    old = sch.get(copy)
    kernels, (block, a, b, channel, lane) = old.body.value.source, old.body.value.indices
    size = int(kernels.shape[1])
    read = (0, 1, size - 1)  # rows at two points and at infinity, by which a polynomial of degree 2 is determined
    others = _derivation(size - 2, read)
    last_first = [range(2, -1, -1)]  # for m = 2, the one of a positive sign

    def along(row: int) -> Expr:
        return entry(others, last_first, b, [tirx.BufferLoad(kernels, [block, row, x, channel, lane]) for x in read])

    value = entry(others, last_first, a, [along(row) for row in read])
    point = [tvm.ir.Range.from_min_extent(index, 1) for index in (block, channel, lane)]
    whole = tvm.ir.Range(0, size)
    reads = [tirx.BufferRegion(kernels, [point[0], whole, whole, *point[1:]])]
    body = tirx.BufferStore(old.body.buffer, value, old.body.indices)
    new = tvm.s_tir.SBlock(old.iter_vars, reads, old.writes, old.name_hint, body)
    sch.state.replace(sch.get_sref(copy), new, {old: new})


def _derivation(m: int, read: Sequence[int]) -> Matrix:
    """Return what gives all rows of a kernel transformed for m x m outputs from the rows `read` of it."""
    kernel = matrices(m)[1]
    return (kernel @ np.linalg.inv(kernel[list(read)])).round(12)


def entry(matrix: Matrix, groups: Sequence[Sequence[int]], row: Expr, values: Sequence[Expr]) -> Expr:
    """Return entry `row` of `matrix` times `values`, as straight-line code once `row` is a number."""
    from dlas_ops._tvm import tvm

    *entries, chosen = [_combination(coefficients, groups, values) for coefficients in matrix]
    for index in reversed(range(len(entries))):
        chosen = tvm.tirx.if_then_else(row == index, entries[index], chosen)
    return chosen


def _combination(coefficients: Matrix, groups: Sequence[Sequence[int]], values: Sequence[Expr]) -> Expr:
    """Return the sum of coefficient x value: of each group the sum, its first coefficient taken out of it."""
    total = None
    for group in groups:
        used = [index for index in group if coefficients[index]]
        part = None
        for index in used:
            part = _plus(part, coefficients[index] / coefficients[used[0]], values[index])
        if used:
            total = _plus(total, coefficients[used[0]], part)
    return total


def _plus(total: Expr, factor: float, value: Expr) -> Expr:
    """Return `total`, None at first, + `factor` x `value`."""
    term = value if abs(factor) == 1 else value * np.float32(abs(factor)).item()
    if total is None:
        return term if factor > 0 else -term
    return total + term if factor > 0 else total - term
