"""Tiles of matrices: their registers are enough, and the model takes them where they are faster."""

from __future__ import annotations

import pytest

from dlas_ops.processor import matrix
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.dot import Dot, dot_of
from dlas_ops.schedule.matrix_tiling import Reduction, in_matrices, matrix_tile, matrix_tiles
from tests.dlas_ops.named_targets import named

CPU = describe_cpu(named("sapphirerapids"))
INT8, BFLOAT16, FLOAT32 = (dot_of(dtype, CPU) for dtype in ("int8", "bfloat16", "float32"))


@pytest.mark.parametrize(
    ("height", "width", "joined", "expected"),
    [
        (1, 16, False, (1, 16)),
        (1, 28, False, (2, 14)),
        (2, 8, False, (2, 8)),
        (2, 8, True, (1, 16)),
        (7, 7, True, None),  # 49 points are no matrices of the same size
        (4, 7, True, (2, 14)),
        (1, 17, False, None),
    ],
)
def test_points_fill_matrices_of_the_same_size(
    height: int, width: int, joined: bool, expected: tuple[int, int] | None
) -> None:
    assert in_matrices(height, width, joined) == expected


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("size", [1, 4, 7, 8, 13, 56, 113])
@pytest.mark.parametrize("vectors", [1, 3, 4, 32])
def test_tiles_fit_the_registers(size: int, vectors: int, joined: bool) -> None:
    tiles = list(matrix_tiles(size, size, vectors, 16, joined))
    assert tiles
    for tile in tiles:
        held = in_matrices(tile.height, tile.width, tile.joined)
        assert held is not None
        count, rows = held
        assert count * rows == tile.points
        assert rows <= matrix.ROWS
        assert count * tile.vectors + count + tile.vectors <= matrix.REGISTERS
        assert vectors % tile.vectors == 0
        assert not tile.joined or tile.height == 1 or tile.width == size


@pytest.mark.parametrize("dot", [INT8, BFLOAT16])
def test_most_layers_are_faster_in_two_matrices_by_two(dot: Dot) -> None:
    tile = matrix_tile(8, 8, 16, 1, Reduction(dot, 256 // dot.values, 9, joined=True), CPU)
    assert tile is not None
    assert (tile.height, tile.width, tile.vectors, tile.groups) == (4, 8, 2, 16)


def test_vectors_of_bfloat16_are_slower_than_those_of_integers() -> None:
    """Matrices of 16 bytes a row lose against vectors of integers, and win against those of bfloat16."""
    held = {
        dot.weight: matrix_tile(4, 4, 32, 1, Reduction(dot, 4, 144, joined=False), CPU) is not None
        for dot in (INT8, BFLOAT16)
    }
    assert held == {"int8": False, "bfloat16": True}


def test_a_step_is_the_largest_part_of_the_groups() -> None:
    assert [Reduction(INT8, groups, 1, joined=True).step for groups in (1, 6, 16, 24, 36, 29)] == [1, 6, 16, 12, 12, 1]


@pytest.mark.parametrize(
    ("reduction", "mcpu"),
    [
        (Reduction(INT8, 256, 1, joined=True), "znver4"),  # it has no matrices
        (Reduction(FLOAT32, 256, 1, joined=True), "sapphirerapids"),  # they hold no floats of 32 bits
        (Reduction(INT8, 1, 9, joined=False), "sapphirerapids"),  # one group fills a 16th of a matrix
        (Reduction(INT8, 16, 1, joined=True), "sapphirerapids"),  # the sums of one step are not worth their way
    ],
)
def test_vectors_are_taken_where_matrices_are_not_faster(reduction: Reduction, mcpu: str) -> None:
    assert matrix_tile(32, 32, 4, 1, reduction, describe_cpu(named(mcpu))) is None
