"""Weights in compressed sparse rows, written out again."""

from __future__ import annotations

import numpy as np

from dlas_ops.kernels.sparse.csr import Csr, compress


def test_rows_come_in_blocks_of_columns() -> None:
    """Write a matrix out of its CSR again, block by block."""
    weight = np.random.default_rng(0).standard_normal((6, 4, 1, 3)).astype(np.float32)
    weight[weight < 0.5] = 0
    places = np.arange(12).reshape(1, 4, 1, 3)[:, ::-1] * 30
    matrix: Csr = compress(weight, places, 150)
    assert matrix.indices.dtype == np.uint8
    dense = np.zeros((6, 12 * 30), np.float32)
    for line in range(3 * 6):
        for at in range(*matrix.pointers[line : line + 2]):
            dense[line % 6, line // 6 * 150 + int(matrix.indices[at])] = matrix.values[at]
    np.testing.assert_array_equal(dense[:, ::30].reshape(6, 4, 1, 3)[:, ::-1], weight)


def test_a_filter_can_have_several_rows() -> None:
    """Each kernel column is a row of its own; what the middle one holds is left out."""
    weight = np.arange(1, 13, dtype=np.float32).reshape(2, 2, 1, 3)
    places = np.arange(2).reshape(1, 2, 1, 1).repeat(3, axis=3)
    matrix = compress(weight, places, rows=np.array([[1, -1, 0]]))
    assert matrix.pointers.tolist() == [0, 2, 4, 6, 8]
    assert matrix.values.tolist() == [3, 6, 1, 4, 9, 12, 7, 10]
    assert matrix.indices.tolist() == [0, 1] * 4


def test_no_weights_at_all_take_no_room() -> None:
    matrix = compress(np.zeros((4, 2, 3, 3), np.float32), np.arange(18).reshape(1, 2, 3, 3), 18)
    assert (len(matrix.values), matrix.pointers.tolist()) == (1, [0] * 5)
