"""Tasks of sparse sums: their choices, their loops and their epilogue, and how the input is copied for them."""

from __future__ import annotations

import pytest
import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import SBlock, Schedule, Stmt
from dlas_ops.kernels.scheduling import space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse import gemm, tasks
from dlas_ops.kernels.sparse.phase_planes import SPLIT
from dlas_ops.kernels.sparse.row_sums import Tile
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.tunables import chosen
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program, scheduled

CPU = describe_cpu(named("znver4"))
CONV = Conv(1, 32, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))
# Reads its input where it is, with one tile for every 8 vectors of points.
POINTWISE = Conv(1, 32, 16, 16, 64, (1, 1))
# Splits its input into planes of whole rows.
WIDE = Conv(1, 8, 12, 32, 16, (3, 3), padding=(1, 1, 1, 1))
# Has rows that end within the stretches that are copied.
ODD = Conv(1, 32, 7, 7, 64, (3, 3), padding=(1, 1, 1, 1))


def defined(conv: Conv, name: str) -> tuple[Schedule, SBlock]:
    """Return a schedule of the definition, in which nothing is done yet, and the block that holds its sums."""
    sch = tvm.s_tir.Schedule(program("znver4", conv, f"{name}/csr", density=0.3))
    blocks = sch.get_child_blocks(sch.get_sblock("root"))
    return sch, next(block for block in blocks if "dlas.schedule" in sch.get(block).annotations)


def test_what_is_repacked_or_moved_for_a_tile_keeps_its_vectors() -> None:
    """Where the input is read as it is, the sums of any vectors that divide the points fit as well."""
    sch, block = defined(CONV, "gemm")
    assert tasks.tile_of(sch, block) == Tile(8, 4, 16, 64, packed=1)
    assert tasks.tunables(sch, block, CPU)["vectors"] == [4]
    sch, block = defined(CONV, "direct")
    assert tasks.tile_of(sch, block).packed == 0
    assert len(tasks.shifts_of(sch, block)) == 9
    assert all(len(shift) == 64 for shift in tasks.shifts_of(sch, block))
    assert tasks.tunables(sch, block, CPU)["vectors"] == [4]
    sch, block = defined(POINTWISE, "gemm")
    assert tasks.shifts_of(sch, block) == []
    assert tasks.tunables(sch, block, CPU)["vectors"] == [8, 1, 2, 4, 16]


def test_filters_and_steps_begin_with_the_rules() -> None:
    """Eight sums in registers hide the latency of their additions; fewer take two non-zeros at a time."""
    for conv, filters, unroll in ((CONV, 8, 2), (POINTWISE, 16, 1)):
        sch, block = defined(conv, "gemm")
        found = tasks.tunables(sch, block, CPU)
        assert (found["filters"][0], found["unroll"][0]) == (filters, unroll)
        assert sorted(found["filters"]) == [1, 2, 4, 8, 16, 32, 64]
        assert sorted(found["unroll"]) == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("choice", "sums", "epilogue"),
    [
        ({"vectors": 1}, "parallel 16, 4", "parallel 16, 4, 16, vector 16"),
        ({"vectors": 16}, "parallel 4", "parallel 4, 16, unrolled 16, vector 16"),
        ({"filters": 64}, "parallel 2", "parallel 2, 64, unrolled 8, vector 16"),
        ({"filters": 1}, "parallel 2, 64", "parallel 2, 64, unrolled 8, vector 16"),
    ],
)
def test_choices_tell_the_tasks(choice: dict[str, int], sums: str, epilogue: str) -> None:
    """Tiles of points run in parallel and, where there is one tile for all cores, groups of filters."""
    function = program("znver4", POINTWISE, "gemm/csr", density=0.5)
    assert nests(scheduled(function, "znver4", choice)) == {"gemm": sums, "compute": epilogue}


def test_little_work_is_not_shared_out() -> None:
    small = Conv(1, 4, 4, 4, 8, (1, 1))
    assert "parallel" not in nests(scheduled(program("znver4", small, "gemm/csr", density=0.5), "znver4"))["gemm"]


def test_sums_of_several_steps_are_of_as_many_copies() -> None:
    """Up to as many sums as hide the latency of an addition."""
    for vectors, unroll, copies in ((1, 4, 4), (1, 8, 8), (4, 8, 2), (16, 8, 1)):
        sch, block = defined(POINTWISE, "gemm")
        choice = chosen(tasks.tunables(sch, block, CPU), {"vectors": vectors, "unroll": unroll})
        block = gemm.tiled(sch, block, choice)
        buffers: list[Stmt] = []

        def visit(allocated: Stmt, found: list[Stmt] = buffers) -> None:
            found.append(allocated)

        tvm_ffi.structural_walk(sch.get(block).body, (tvm.tirx.AllocBuffer, visit))
        shapes = {str(each.buffer.name): [int(size) for size in each.buffer.shape] for each in buffers}
        assert shapes["partial"] == [copies, vectors * 16]


@pytest.mark.parametrize(("conv", "loops"), [(CONV, "288, 8, vector 8"), (ODD, "288, 64")])
def test_whole_rows_are_copied_in_vectors_and_others_by_points(conv: Conv, loops: str) -> None:
    sch, _ = defined(conv, "gemm")
    copy = sch.get_sblock("im2col")
    stretches = tasks.copy_stretches(sch, copy, CPU)
    assert int(sch.get(stretches).extent) == 288
    assert nests(sch.mod["main"])["im2col"] == loops


def test_copies_are_opened_once_and_their_border_is_left_to_no_rule() -> None:
    sch, block = defined(CONV, "gemm")
    block = gemm.tiled(sch, block, chosen(tasks.tunables(sch, block, CPU)))
    tasks.open_copies(sch, block, CPU)
    assert sch.get(sch.get_sblock("bordered")).annotations["schedule_rule"] == "None"
    opened = nests(sch.mod["main"])
    assert opened["im2col"] == "288, 8, vector 8"
    tasks.copy_all_stretches(sch, block, CPU)
    assert nests(sch.mod["main"]) == opened


def test_the_loops_that_split_the_input_come_out_of_their_block() -> None:
    sch, _ = defined(WIDE, "direct")
    [wrapper] = [each for each in sch.get_child_blocks(sch.get_sblock("root")) if SPLIT in sch.get(each).annotations]
    with pytest.raises(tvm.s_tir.ScheduleError, match="2 blocks with the name: planes"):
        sch.get_sblock("planes")
    tasks.unwrap(sch, wrapper)
    assert [int(sch.get(each).extent) for each in sch.get_loops(sch.get_sblock("planes"))] == [1, 2, 8]


def test_the_choices_of_a_program_are_those_of_its_sums() -> None:
    sch, block = defined(CONV, "spatial_pack")
    assert space(sch.mod["main"], CPU) == tasks.tunables(sch, block, CPU)
