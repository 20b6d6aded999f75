"""Register tiles: they fit the registers, divide the vectors and cover the map."""

from __future__ import annotations

import pytest

from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.tiling import Tile, register_tile
from tests.dlas_ops.named_targets import named


@pytest.mark.parametrize("mcpu", ["skylake-avx512", "znver3", "x86-64-v2"])
@pytest.mark.parametrize("size", [1, 4, 7, 8, 13, 56, 113])
@pytest.mark.parametrize("vectors", [1, 3, 4, 32])
def test_tiles_fit_the_registers(mcpu: str, size: int, vectors: int) -> None:
    cpu = describe_cpu(named(mcpu))
    tile = register_tile(size, size, vectors, 1, cpu)
    assert tile.registers <= cpu.vector_registers - (2 if mcpu == "x86-64-v2" else 0)
    assert vectors % tile.vectors == 0


def test_a_tile_covers_more_than_the_edge() -> None:
    assert Tile(2, 3, 1).covers(5, 7) == (6, 9)
