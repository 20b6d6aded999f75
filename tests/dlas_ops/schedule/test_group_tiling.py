"""Tiles of work-groups that a tuner tries: all divide, fit a GPU, and are more than the rules' own."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

import pytest

from dlas_ops.processor.gpus import Gpu, describe_gpu
from dlas_ops.schedule.group_tiling import MOST_SUMS, GroupTile, group_tile, group_tiles
from tests.dlas_ops import cuda, opencl

TARGETS = {device: opencl.target(device) for device in opencl.FAMILIES} | {"cuda": cuda.target("sm_87")}
EXTENTS = [(14, 14, 64), (28, 30, 32), (56, 56, 3), (224, 16, 8)]


@pytest.mark.parametrize("extents", EXTENTS)
@pytest.mark.parametrize("family", list(TARGETS))
def test_every_tile_fits(family: str, extents: tuple[int, int, int]) -> None:
    gpu = describe_gpu(TARGETS[family])
    tiles = group_tiles(extents, gpu)
    assert len(tiles) == len(set(tiles)) > 20
    for extent, threads in tiles:
        assert all(whole % size == 0 for whole, size in zip(extents, extent, strict=True))
        assert all(size % count == 0 for size, count in zip(extent, threads, strict=True))
        count = prod(threads)
        assert count <= gpu.threads
        assert ceil(count / gpu.warp) * gpu.warp <= 2 * count, "half a warp idles at most"
        assert GroupTile(*extent, threads).thread.accumulators <= MOST_SUMS * gpu.sums


@pytest.mark.parametrize("family", list(TARGETS))
def test_the_rules_tile_is_one_of_them(family: str) -> None:
    gpu = describe_gpu(TARGETS[family])
    tile = group_tile(56, 56, 16, 1, gpu)
    rows, columns = tile.covers(56, 56)
    assert (tile.extents, tile.threads) in group_tiles((rows, columns, 16), gpu)


def test_more_registers_and_threads_allow_more() -> None:
    gpu: Gpu = describe_gpu(TARGETS["mali"])
    found = set(group_tiles((28, 28, 32), gpu))
    assert found < set(group_tiles((28, 28, 32), replace(gpu, sums=2 * gpu.sums)))
    assert found < set(group_tiles((28, 28, 32), replace(gpu, threads=2 * gpu.threads)))
    assert found > set(group_tiles((28, 28, 32), replace(gpu, warp=2 * gpu.warp)))


def test_a_layer_of_one_point_leaves_no_choice() -> None:
    assert group_tiles((1, 1, 1), describe_gpu(TARGETS["mali"])) == []
