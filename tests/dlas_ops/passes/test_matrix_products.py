"""Marked loops of a tile: calls in their place, and what no instruction reads refused."""

from __future__ import annotations

from typing import Any

import pytest
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc, Stmt
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.loops import found_in
from dlas_ops.passes.matrix_products import MARKED, marked, multiplied
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.processor import matrix
from dlas_ops.processor.matrix import Sizes
from dlas_ops.schedule.matrix_tiles import SUMS, ZERO
from dlas_ops.schedule.steps import MATRIX_LOOP
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program, scheduled

tirx = tvm.tirx

ROWS, VECTORS, LANES, GROUPS, VALUES, STEPS = 6, 2, 16, 8, 4, 5
DEPTH = STEPS * GROUPS * VALUES


def tile(group: int = LANES * VALUES, value: int = 1) -> PrimFunc:
    """Return the loops of a tile of 6 points by 2 vectors, marked, whose operands lie as the strides say."""
    with IRBuilder() as script, T.prim_func(s_tir=True):
        data = T.match_buffer(T.arg("a", T.handle()), (8 * DEPTH,), "uint8")
        weights = T.match_buffer(T.arg("b", T.handle()), (VECTORS * STEPS * GROUPS * LANES * VALUES,), "int8")
        sums = T.match_buffer(T.arg("c", T.handle()), (ROWS * VECTORS * LANES,), "int32")

        def loop(extent: int, role: str) -> Any:
            return T.serial(extent, annotations={MATRIX_LOOP: role})

        with loop(ROWS * VECTORS * LANES, ZERO) as i:
            T.buffer_store(sums, 0, [i])
        with (
            loop(STEPS, SUMS) as k, loop(1, "rows"), loop(ROWS, "columns") as w, loop(VECTORS, "vectors") as o,
            loop(LANES, "lanes") as v, loop(GROUPS, "groups") as g, loop(VALUES, "values") as q,
        ):  # fmt: skip
            place = (w * VECTORS + o) * LANES + v
            held = data[w * DEPTH + (k * GROUPS + g) * VALUES + q]
            weight = weights[((o * STEPS + k) * GROUPS + g) * group + v * VALUES + q * value]
            T.buffer_store(sums, sums[place] + T.cast(held, "int32") * T.cast(weight, "int32"), [place])
    return script.get()


def calls(body: Stmt) -> list[str]:
    """Return the steps that a program calls, in its order."""
    found = [call for call in found_in(body, tvm.ir.Call) if call.op.name == "tirx.call_extern"]
    return [str(call.args[0].value).split("_")[2] for call in found]


def test_a_tile_becomes_five_calls() -> None:
    function = multiplied(marked(tile()))
    assert calls(function.body) == ["begin", "zero", "multiply", "store", "end"]
    [loop] = found_in(function.body, tirx.For)
    assert int(loop.extent) == STEPS
    assert matrix.function(matrix.BEGIN, Sizes("int8", 1, VECTORS, ROWS, GROUPS)) in str(function.body.value.value)


def test_a_program_without_marks_stays_as_it_is() -> None:
    function = scheduled(program("znver4", Conv(1, 64, 8, 8, 64, (1, 1)), "gemm/dense", dtype="int8"), "znver4")
    assert MARKED not in (function.attrs or {})
    assert multiplied(function).same_as(function)


@pytest.mark.parametrize(
    ("strides", "reason"),
    [
        ({"value": 2}, "grows by 2 along the values, not by 1"),
        ({"group": 1, "value": 64}, "grows by 64 along the values, not by 1"),
    ],
)
def test_operands_that_no_instruction_reads_are_refused(strides: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        multiplied(marked(tile(**strides)))


@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack"])
@pytest.mark.parametrize("outer", ["points", "channels"])
def test_each_iteration_of_the_parallel_loop_begins_and_ends(outer: str, algorithm: str) -> None:
    mcpu, conv = "sapphirerapids", Conv(1, 64, 32, 32, 64, (3, 3), padding=(1, 1, 1, 1))
    function = scheduled(program(mcpu, conv, f"{algorithm}/dense", dtype="int8"), mcpu, {"outer": outer})
    lower, _, _ = tirx.get_tir_pipeline(PIPELINE)
    target = named(mcpu)
    module = tirx.transform.BindTarget(target.with_host(target))(tvm.IRModule({"main": function}))
    [lowered] = lower(module).functions.values()
    loops = [loop for loop in found_in(lowered.body, tirx.For) if loop.kind == tirx.ForKind.PARALLEL]
    [around] = [loop for loop in loops if calls(loop.body)]
    assert calls(around.body) == ["begin", "zero", "multiply", "store", "end"]
    assert calls(lowered.body) == calls(around.body)
    assert int(around.extent) % 2 == 0  # both cores have the same work
