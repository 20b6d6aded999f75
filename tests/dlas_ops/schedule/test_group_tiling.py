"""Tiles of work-groups: what a thread computes fits its registers, and few threads compute beyond the edge."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.gpus import Gpu, describe_gpu
from dlas_ops.schedule.group_tiling import group_tile, output_tile
from dlas_ops.schedule.tiling import register_tile
from tests.dlas_ops import cuda, opencl
from tests.dlas_ops.named_targets import named

GPUS = {device: describe_gpu(opencl.target(device)) for device in opencl.FAMILIES} | {
    arch: describe_gpu(cuda.target(arch)) for arch in ("sm_72", "sm_90")
}


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
