"""Tiles of work-groups, the rules' and a tuner's: a thread's sums fit its registers, and few threads have none."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.gpus import Gpu, describe_gpu
from dlas_ops.schedule.group_tiling import MOST_SUMS, GroupTile, group_tile, group_tiles, output_tile
from dlas_ops.schedule.tiling import register_tile
from tests.dlas_ops import cuda, opencl
from tests.dlas_ops.named_targets import named

GPUS = {device: describe_gpu(opencl.target(device)) for device in opencl.FAMILIES} | {
    arch: describe_gpu(cuda.target(arch)) for arch in ("sm_72", "sm_90")
}
EXTENTS = [(14, 14, 64), (28, 30, 32), (56, 56, 3), (224, 16, 8)]


@pytest.mark.parametrize("gpu", GPUS.values(), ids=GPUS)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 80), st.integers(1, 4))
def test_a_tile_fits_its_threads(gpu: Gpu, height: int, width: int, vectors: int, batch: int) -> None:
    tile = group_tile(height, width, vectors, batch, gpu)
    own = tile.thread
    assert (
        tuple(size * count for size, count in zip((own.height, own.width, own.vectors), tile.threads, strict=True))
        == tile.extents
    )
    assert own.accumulators <= gpu.sums
    assert prod(tile.threads) <= gpu.threads
    assert vectors % tile.vectors == 0
    assert tile.height < 2 * height
    assert tile.width < 2 * width


def test_a_small_map_is_spread_over_more_units_than_one_work_group_fills() -> None:
    gpu = GPUS["sm_90"]
    tile = group_tile(8, 8, 64, 1, gpu)
    assert 8 * 8 * 64 // prod(tile.extents) >= 8


def test_where_threads_share_no_memory_a_thread_reads_less_for_itself() -> None:
    """A work-group of one thread computes a tile of a CPU's proportions: several points by several vectors."""
    own = group_tile(32, 32, 16, 1, GPUS["pocl"]).thread
    assert own.points > 1
    assert own.vectors > 1


def test_a_cpu_has_a_tile_of_registers() -> None:
    cpu = describe_cpu(named("x86-64-v3"))
    assert output_tile(14, 14, 8, 1, cpu) == register_tile(14, 14, 8, 1, cpu)


@pytest.mark.parametrize("extents", EXTENTS)
@pytest.mark.parametrize("family", list(GPUS))
def test_every_tile_fits(family: str, extents: tuple[int, int, int]) -> None:
    gpu = GPUS[family]
    tiles = group_tiles(extents, gpu)
    assert len(tiles) == len(set(tiles)) > 20
    for extent, threads in tiles:
        assert all(whole % size == 0 for whole, size in zip(extents, extent, strict=True))
        assert all(size % count == 0 for size, count in zip(extent, threads, strict=True))
        count = prod(threads)
        assert count <= gpu.threads
        assert ceil(count / gpu.warp) * gpu.warp <= 2 * count, "half a warp idles at most"
        assert GroupTile(*extent, threads).thread.accumulators <= MOST_SUMS * gpu.sums


@pytest.mark.parametrize("family", list(GPUS))
def test_the_rules_tile_is_one_of_them(family: str) -> None:
    gpu = GPUS[family]
    tile = group_tile(56, 56, 16, 1, gpu)
    rows, columns = tile.covers(56, 56)
    assert (tile.extents, tile.threads) in group_tiles((rows, columns, 16), gpu)


def test_more_registers_and_threads_allow_more() -> None:
    gpu: Gpu = GPUS["mali"]
    found = set(group_tiles((28, 28, 32), gpu))
    assert found < set(group_tiles((28, 28, 32), replace(gpu, sums=2 * gpu.sums)))
    assert found < set(group_tiles((28, 28, 32), replace(gpu, threads=2 * gpu.threads)))
    assert found > set(group_tiles((28, 28, 32), replace(gpu, warp=2 * gpu.warp)))


def test_a_layer_of_one_point_leaves_no_choice() -> None:
    assert group_tiles((1, 1, 1), GPUS["mali"]) == []
