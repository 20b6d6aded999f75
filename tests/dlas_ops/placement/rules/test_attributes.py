"""Attributes of Relax operators as Python's integers."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.placement.rules.attributes import pair, sides
from tests.dlas_ops.placement.before_after import tensor


def test_attributes_become_integers() -> None:
    call = tvm.relax.op.nn.max_pool2d(tensor((1, 3, 9, 9)), (3, 2), (2, 1), (0, 1, 2, 3))
    assert pair(call.attrs.pool_size) == (3, 2)
    assert sides(call.attrs.padding) == (0, 1, 2, 3)
    assert {type(size) for size in (*pair(call.attrs.strides), *sides(call.attrs.padding))} == {int}


def test_another_number_of_dimensions_is_no_pair() -> None:
    with pytest.raises(ValueError, match="unpack"):
        pair((1, 2, 3))
