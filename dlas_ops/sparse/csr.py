"""OIHW weights → compressed sparse rows (CSR): one row per filter, its non-zeros and where in the input they apply."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Csr(NamedTuple):
    """A sparse matrix: row r holds `values[pointers[r]:pointers[r + 1]]`, at the places in `indices`.

    `indices` are of the narrowest unsigned integer that holds the largest possible one.
    """

    values: NDArray[np.float32]
    indices: NDArray[np.unsignedinteger]
    pointers: NDArray[np.int32]


def compress(weight: NDArray[np.float32], places: NDArray[np.int64]) -> Csr:
    """Return `weight`, (O, I, H, W), in CSR.

    Parameters
    ----------
    places : index to store for the non-zeros of each (group, input channel, row, column); ascending order of these
        is the order of a row's non-zeros. Shape (G, I, H, W) for O filters in G groups of as many
    """
    filters, groups = len(weight), len(places)
    flat = weight.reshape(filters, -1)
    order = places.reshape(groups, -1).argsort(axis=1, kind="stable")
    of_group = np.repeat(np.arange(groups), filters // groups)
    ordered = np.take_along_axis(flat, order[of_group], axis=1)
    rows, columns = ordered.nonzero()
    sorted_places = np.sort(places.reshape(groups, -1), axis=1)[of_group]
    pointers = np.concatenate([[0], np.cumsum(np.count_nonzero(flat, axis=1))])
    values, indices = ordered[rows, columns], sorted_places[rows, columns]
    if not len(values):  # TVM has no empty tensors; no row points at this one.
        values, indices = np.zeros(1, weight.dtype), np.zeros(1, np.int64)
    return Csr(values, indices.astype(np.min_scalar_type(int(places.max()))), pointers.astype(np.int32))
