"""Tensor programs → scheduled ones: by the schedule that a block asks for, as given, or generally."""

from __future__ import annotations

import pytest
import tvm_ffi

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.kernels.scheduling import asked_schedule, is_sparse, opened, schedule, schedule_function, space, spaces
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.lowering import Lowered
from dlas_ops.passes.lanes import LANES
from dlas_ops.passes.permutation import READS
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.tunables import chosen
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

te, topi = tvm.te, tvm.topi

CONV = Conv(1, 32, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))
DEPTHWISE = Conv(1, 32, 8, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=32)


def lowered() -> Lowered:
    """Return a convolution that has tunables, between conversions that have none."""
    return dlas_ops.lower(networks.one_layer(CONV), named("znver4"), algorithm="spatial_pack")


def test_programs_with_tunables_are_found_by_their_names() -> None:
    module = lowered().module
    found = spaces(module, named("znver4"))
    assert len(found) == 1 < len(networks.calls(module))
    [(name, tunables)] = found.items()
    assert tunables == space(module[name], describe_cpu(named("znver4")))
    assert set(tunables) == {"tile", "outer", "unroll", "prefetch"}


def test_programs_that_are_scheduled_already_stay_so() -> None:
    module, target = lowered().module, named("znver4")
    [(name, tunables)] = spaces(module, target).items()
    given = schedule_function(module[name], describe_cpu(target), {"tile": tunables["tile"][1]})
    rules, mixed = schedule(module, target), schedule(module, target, {name: given})
    assert tvm_ffi.structural_equal(mixed[name], given)
    changed = [
        str(variable.name_hint)
        for variable in module.get_global_vars()
        if not tvm_ffi.structural_equal(rules[variable], mixed[variable])
    ]
    assert changed == [name]
    with pytest.raises(ValueError, match="no tensor program is called nothing"):
        schedule(module, target, {"nothing": given})


@pytest.mark.parametrize(
    ("conv", "name", "operator", "expected"),
    [
        (CONV, "direct/dense", "", "direct"),
        (CONV, "gemm/csr", "", "gemm/csr"),
        (DEPTHWISE, "16", "", "depthwise"),
        (DEPTHWISE, "16>0", "convert", ""),
    ],
)
def test_a_block_asks_for_its_schedule(conv: Conv, name: str, operator: str, expected: str) -> None:
    function = program("znver4", conv, name, operator)
    assert asked_schedule(function) == expected
    assert is_sparse(function) == expected.endswith("/csr")


def test_opened_sums_have_their_loops_and_all_else_is_as_defined() -> None:
    """Only what is copied for them is copied as in a schedule, so that other rules find its vectors."""
    function, cpu = program("znver4", CONV, "gemm/csr", density=0.1), describe_cpu(named("znver4"))
    choice = chosen(space(function, cpu), {"filters": 16})
    before, after = nests(function), nests(opened(function, cpu, choice))
    assert (before["gemm"], after["gemm"]) == ("8", "4")
    assert (before["im2col"], after["im2col"]) == ("18432", "288, 8, vector 8")
    others = set(before) - {"gemm", "im2col", "bordered"}
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    with pytest.raises(ValueError, match="not allowed"):
        opened(function, cpu, {"filters": 3})


def softmax(rows: int) -> PrimFunc:
    """Return the exponentials of rows of 64 numbers and their sums: two reductions, element-wise operators between."""
    data = te.placeholder((rows, 64), "float32", "data")
    axis = te.reduce_axis((0, 64), "axis")
    doubled = te.compute((rows, 64), lambda i, j: data[i, j] * 2.0, name="doubled")
    sums = te.compute((rows,), lambda i: te.sum(doubled[i, axis], axis=axis), name="sums")
    shares = te.compute((rows, 64), lambda i, j: doubled[i, j] / sums[i], name="shares")
    return te.create_prim_func([data, shares])


@pytest.mark.parametrize(("rows", "outer"), [(1024, "parallel 1024"), (8, "8")])
@pytest.mark.parametrize(("mcpu", "lanes"), [("znver4", 16), ("x86-64-v2", 4)])
def test_programs_that_ask_for_nothing_run_row_by_row_and_if_it_pays_in_parallel(
    mcpu: str, lanes: int, rows: int, outer: str
) -> None:
    """Element-wise operators are inlined; all of a row is computed at once, in loops that become vectors later."""
    made = schedule_function(softmax(rows), describe_cpu(named(mcpu)))
    assert nests(made) == {"sums_init": outer, "sums_update": f"{outer}, 64", "shares": f"{outer}, 64"}
    assert int(made.attrs[LANES]) == lanes


def test_a_result_of_one_number_and_one_of_no_whole_vectors_have_none() -> None:
    cpu = describe_cpu(named("znver4"))
    data = te.placeholder((1, 7), "float32", "data")
    negative = te.create_prim_func([data, topi.negative(data)])
    assert nests(schedule_function(negative, cpu)) == {"compute": "7"}
    number = te.placeholder((), "float32", "number")
    assert nests(schedule_function(te.create_prim_func([number, topi.negative(number)]), cpu)) == {"compute": ""}


def test_a_program_that_has_no_tunables_takes_none() -> None:
    with pytest.raises(ValueError, match="unknown tunable 'tile'; there are none"):
        schedule_function(softmax(8), describe_cpu(named("znver4")), {"tile": (1, 1, 1)})


def test_a_scheduled_program_says_that_it_reads_a_table() -> None:
    data, table = te.placeholder((64,), "uint8", "data"), te.placeholder((256,), "uint8", "table")
    found = te.compute((64,), lambda i: table[data[i].astype("int32")])
    function = schedule_function(te.create_prim_func([data, table, found]), describe_cpu(named("znver4")))
    assert READS in function.attrs
