"""OIHW weights → compressed sparse rows (CSR): one row per filter, its non-zeros and where in the input they apply."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Csr(NamedTuple):
    """A sparse matrix of R rows in blocks of columns, so that a block's inputs stay in the L1 cache while rows pass by.

    Row r holds in block b `values[pointers[b * R + r]:pointers[b * R + r + 1]]`, at the places in `indices`, which
    count from the block's first and are of the narrowest unsigned integer that holds a block's largest.
    """

    values: NDArray[np.float32]
    indices: NDArray[np.unsignedinteger]
    pointers: NDArray[np.int32]


def compress(
    weight: NDArray[np.float32], places: NDArray[np.int64], block: int = 0, rows: NDArray[np.int64] | None = None
) -> Csr:
    """Return `weight`, (O, I, H, W), in CSR.

    Parameters
    ----------
    places : where the non-zeros of each (group, input channel, row, column) apply, for O filters in G groups of as
        many; shape (G, I, H, W)
    block : places in a block; 0: all of them
    rows : shape (H, W): which row of a filter's the non-zeros of a kernel position belong to, if it has several; -1:
        none, they are left out
    """
    filters, groups = len(weight), len(places)
    rows = np.zeros(weight.shape[2:], np.int64) if rows is None else rows
    filter, *position = np.nonzero(np.where(rows < 0, 0, weight))
    place = places[filter // (filters // groups), *position]
    last = int(places.max())
    block = block or last + 1
    lines = filters * max(1, int(rows.max()) + 1)
    line = place // block * lines + filter * (lines // filters) + rows[*position[1:]]
    order = (line * (last + 1) + place).argsort()
    pointers = np.concatenate([[0], np.cumsum(np.bincount(line, minlength=(last // block + 1) * lines))])
    values, indices = weight[filter, *position][order], place[order] % block
    if not len(values):
        # No row points at this number; it is there so that no one has to handle empty tensors.
        values, indices = np.zeros(1, weight.dtype), np.zeros(1, np.int64)
    return Csr(values, indices.astype(np.min_scalar_type(min(last, block - 1))), pointers.astype(np.int32))
