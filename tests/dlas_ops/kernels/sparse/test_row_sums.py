"""Sums over CSR weights against the dense product, and what their vectors and tasks are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr
from dlas_ops.kernels.sparse.csr import Csr, compress
from dlas_ops.kernels.sparse.row_sums import (
    SOURCE_OF_L1,
    SUMS_OF_L2,
    TASKS_PER_CORE,
    Load,
    Shifts,
    Tile,
    columns_in_cache,
    filters_of,
    loop,
    nest,
    pick,
    ramp,
    region,
    splat,
    sums_of,
)
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.steps import BYTES
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import PROCESSORS, named
from tests.dlas_ops.shapes import SETTINGS
from tests.dlas_ops.tensor_programs import computed, placeholders, ran

te, tirx = tvm.te, tvm.tirx


@given(st.integers(1, 512), st.integers(1, 300), st.integers(1, 512), st.sampled_from(sorted(PROCESSORS)))
def test_a_task_takes_filters_that_leave_work_for_all_cores_and_fit_the_cache(
    filters: int, tiles: int, points: int, mcpu: str
) -> None:
    cpu = describe_cpu(named(mcpu))
    found = filters_of(filters, tiles, points, cpu)
    assert filters % found == 0
    if found > 1:
        assert tiles * (filters // found) >= min(TASKS_PER_CORE * cpu.cores, tiles * filters)
        assert found * points * BYTES <= cpu.l2_bytes * SUMS_OF_L2


def test_columns_fill_their_part_of_the_l1_cache_and_are_never_none() -> None:
    cpu = describe_cpu(named("znver4"))
    assert columns_in_cache(256, cpu) * 256 == cpu.l1_bytes * SOURCE_OF_L1
    assert columns_in_cache(cpu.l1_bytes, cpu) == 1


def test_points_come_in_vectors_and_what_is_left() -> None:
    tile = Tile(4, 3, 8, 21)
    assert tile.summed == 24
    assert tile.parts == [(0, 8), (8, 8), (16, 5)]


def test_one_lane_is_a_number() -> None:
    place = tirx.Var("place", "int32")
    assert ramp(place, 1) is place
    assert splat(place, 1) is place
    assert (int(ramp(place, 4).lanes), int(splat(place, 4).lanes)) == (4, 4)


def elements(vector: Expr) -> list[float]:
    """Return what a vector holds where the buffer's element i is i + 1: its loads, zeros, or a shuffle of those."""
    match vector:
        case tirx.Broadcast():
            return [float(vector.value)] * int(vector.lanes)
        case tirx.Shuffle():
            joined = [element for part in vector.vectors for element in elements(part)]
            return [joined[int(index)] for index in vector.indices]
        case _:
            [index] = vector.indices
            return [int(index.base) + lane + 1.0 for lane in range(int(index.lanes))]


@given(st.integers(1, 4), st.sampled_from([2, 4, 8]), st.data())
def test_elements_are_picked_from_all_vectors_and_zeros_where_there_is_none(
    count: int, lanes: int, data: st.DataObject
) -> None:
    buffer = tirx.decl_buffer((count * lanes,), "float32", "held")
    vectors = [buffer[ramp(v * lanes, lanes)] for v in range(count)]
    indices = st.integers(-1, count * lanes - 1)
    wanted = data.draw(
        st.one_of(st.lists(indices, min_size=lanes, max_size=lanes), st.integers(0, count - 1).map(
            lambda v: list(range(v * lanes, (v + 1) * lanes))
        )).filter(lambda drawn: max(drawn) >= 0)
    )  # fmt: skip
    found = pick(vectors, lanes, wanted)
    assert elements(found) == [index + 1.0 if index >= 0 else 0.0 for index in wanted]
    if wanted == list(range(wanted[0], wanted[0] + lanes)) and wanted[0] % lanes == 0:
        assert found is vectors[wanted[0] // lanes], "a whole vector is not shuffled"


def load(block: int, points: int, lanes: int) -> Load:
    """Return how a non-zero finds its vector in a source (image, column, point) or, packed, (image, tile, place)."""

    def vector(source: Buffer, n: Expr, b: Expr, index: Expr, t: Expr, v: int) -> Expr:
        return source[n, b * block + index, ramp(t * points + v * lanes, lanes)]

    return vector


def sparse(filters: int, columns: int, density: float, block: int, rows: int = 1) -> tuple[networks.Array, Csr]:
    """Return weights (filter, column, 1, row), and the same in CSR with blocks of columns and rows of a filter."""
    weight = networks.random((filters, columns, 1, rows))
    weight[np.random.default_rng(0).random(weight.shape) >= density] = 0
    places = np.arange(columns).reshape(1, columns, 1, 1).repeat(rows, axis=3)
    return weight, compress(weight, places, block, np.arange(rows).reshape(1, rows))


@settings(SETTINGS, max_examples=8)
@given(
    st.integers(1, 2), st.sampled_from([2, 6]), st.integers(1, 9), st.sampled_from([0.0, 0.4, 1.0]), st.booleans(),
    st.sampled_from([(1, 4), (3, 4), (2, 8)]), st.integers(1, 2), st.integers(1, 5),
)  # fmt: skip
def test_sums_are_those_of_the_dense_product(
    batch: int, filters: int, columns: int, density: float, blocks: bool, vectors: tuple[int, int], tiles: int,
    unroll: int,
) -> None:  # fmt: skip
    """Whatever blocks of columns the weights are in, and however many non-zeros a step takes."""
    block = 2 if blocks else columns
    weight, matrix = sparse(filters, columns, density, block)
    points = vectors[0] * vectors[1]
    tile = Tile(2, *vectors, points)
    data = networks.random((batch, columns, points * tiles), 2)
    arrays = [data, *matrix]
    shape = (batch, filters, points * tiles)
    inputs = placeholders(*arrays)
    read = load(block, points, vectors[1])
    output = te.extern(
        shape, inputs, lambda ins, outs: nest(outs[0], ins, read, tile, unroll, "sums"), name="sums", dtype=["float32"],
        in_buffers=[tirx.decl_buffer(t.shape, t.dtype, t.op.name, layout=None) for t in inputs],
        out_buffers=[tirx.decl_buffer(shape, "float32", "sums", layout=None)],
    )  # fmt: skip
    networks.assert_close(computed(output, inputs, arrays), np.einsum("oc,ncp->nop", weight[:, :, 0, 0], data), 1e-5)


def test_rows_of_a_filter_are_added_where_their_shift_says() -> None:
    """The second row's sums go two points further; what would leave the tile is dropped."""
    weight, matrix = sparse(3, 5, 0.8, 5, rows=2)
    shifts: Shifts = [range(6), [-1, -1, 0, 1, 2, 3]]
    tile = Tile(1, 2, 4, 6)
    data = networks.random((1, 5, 8), 3)
    arrays = [data, *matrix]
    inputs = placeholders(*arrays)
    read = load(5, 6, 4)
    sums = sums_of(inputs[0], Csr(*inputs[1:]), (1, 3, 6), tile, read, "direct", shifts, {"dlas.unit": 7})
    output = te.compute((1, 3, 6), lambda *index: sums[index], name="output")
    function = te.create_prim_func([*inputs, output])
    straight, moved = (np.einsum("oc,cp->op", weight[:, :, 0, row], data[0]) for row in range(2))
    expected = straight[:, :6]
    expected[:, 2:] += moved[:, :4]
    networks.assert_close(ran(function, arrays), expected[None], 1e-5)
    sch = tvm.s_tir.Schedule(function)
    block, _ = sch.get_child_blocks(sch.get_sblock("root"))
    annotations = sch.get(block).annotations
    assert annotations["dlas.schedule"] == "direct/csr"
    assert [int(size) for size in annotations["dlas.tile"]] == [1, 2, 4, 6, 0]
    assert int(annotations["dlas.unit"]) == 7


@pytest.mark.parametrize("count", [1, 3])
def test_a_loop_runs_its_statement_for_each_number(count: int) -> None:
    data = tirx.decl_buffer((4,), "float32", "data")
    statement = loop(count, lambda k: tirx.BufferStore(data, tirx.const(1.0, "float32"), [k]))
    assert (int(statement.min), int(statement.extent)) == (0, count)
    assert statement.body.indices[0].same_as(statement.loop_var)


def test_a_region_is_one_wide_where_it_begins_and_all_of_the_rest() -> None:
    buffer = tirx.decl_buffer((2, 3, 4), "float32", "data")
    found: Sequence[tuple[int, int]] = [
        (int(part.min), int(part.extent)) for part in region(buffer, tirx.const(1, "int32")).region
    ]
    assert found == [(1, 1), (0, 3), (0, 4)]


def test_a_block_sums_one_task() -> None:
    _, matrix = sparse(6, 5, 0.5, 5)
    arrays = [networks.random((2, 5, 16)), *matrix]
    inputs = placeholders(*arrays)
    output = sums_of(inputs[0], Csr(*inputs[1:]), (2, 6, 16), Tile(3, 2, 4, 8), load(5, 8, 4), "gemm")
    assert nests(te.create_prim_func([*inputs, output]))["gemm"] == "2, 2, 2"
