"""Relax expressions → the operators that they call."""

from __future__ import annotations

from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.placement.operators import extremum, name_of
from tests.dlas_ops.placement.before_after import tensor, with_bound

relax, tirx = tvm.relax, tvm.tirx


def test_an_operator_has_the_name_of_relax_and_any_other_expression_that_of_its_class() -> None:
    x = tensor((2, 3))
    assert name_of(relax.op.nn.relu(x)) == "relax.nn.relu"
    assert name_of(relax.Tuple([x])) == "Tuple"
    assert name_of(relax.TupleGetItem(relax.Tuple([x]), 0)) == "TupleGetItem"


@pytest.mark.parametrize(("combine", "expected"), [
    (tirx.max, relax.op.maximum),
    (tirx.min, relax.op.minimum),
    (lambda x, bound: x + bound, None),
])  # fmt: skip
def test_a_program_that_is_all_maximum_or_minimum_is_recognized(combine: Any, expected: Any) -> None:
    assert extremum(with_bound(combine, (2, 3))["bound"]) is expected


def test_a_program_of_several_stages_is_no_extremum() -> None:
    te = tvm.te
    x = te.placeholder((2, 3), "float32")
    twice = te.compute((2, 3), lambda *index: x(*index) * 2)
    bounded = te.compute((2, 3), lambda *index: tirx.max(twice(*index), x(*index)))
    assert extremum(te.create_prim_func([x, bounded])) is None
