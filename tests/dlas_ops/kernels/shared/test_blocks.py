"""Stages that convolutions share: how blocked data is read, what the border holds, what a block tells its schedule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import layout
from dlas_ops.kernels.shared.blocks import annotation, multiplied, padded, read_channel, value_axis, wide
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.dot import Dot, dot_of
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.steps import tile_of
from dlas_ops.schedule.tiling import Tile
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS, convolutions
from tests.dlas_ops.tensor_programs import computed, placeholders

te = tvm.te


@settings(SETTINGS, max_examples=8)
@given(convolutions(), st.sampled_from([0, 4]), st.sampled_from([1, 4, 8]), st.integers(0, 2), st.booleans())
def test_the_border_is_of_one_value_and_the_channels_beyond_too(
    conv: Conv, source: int, block: int, more: int, signed: bool
) -> None:
    """Whole blocks are filled: with what the input's own blocks hold there, else with the border's value."""
    value, rows, columns = 7 if signed else 0, conv.out_height + more, conv.out_width + 1
    drawn = np.random.default_rng(0).integers(-9, 10, networks.shape_of(conv)).astype(np.int8)
    array = layout.pack_constant(drawn, source) if source and conv.in_channels > 1 else drawn
    inputs = placeholders(array)
    found = computed(padded(inputs[0], conv, rows, columns, block, value, "int16"), inputs, [array])
    top, left = conv.padding[:2]
    height = (rows - 1) * conv.stride[0] + conv.extent[0]
    width = (columns - 1) * conv.stride[1] + conv.extent[1]
    blocks = -(-conv.in_channels // block)
    whole = np.full(
        (conv.batch, blocks * block, max(height, top + conv.height), max(width, left + conv.width)), value, np.int16
    )
    inside = whole[:, :, top : top + conv.height, left : left + conv.width]
    inside[:, : conv.in_channels] = drawn
    if array.ndim == 5:
        inside[:, conv.in_channels : array.shape[1] * array.shape[4]] = 0
    expected = whole[:, :, :height, :width].reshape(conv.batch, blocks, block, height, width).transpose(0, 1, 3, 4, 2)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, expected)


def test_an_input_that_needs_nothing_is_read_where_it_is() -> None:
    conv = Conv(1, 16, 8, 8, 4, (3, 3))
    data = te.placeholder((1, 2, 8, 8, 8), "float32", "data")
    assert padded(data, conv, 6, 6, 8) is data
    assert padded(data, conv, 6, 7, 8) is not data
    assert padded(data, conv, 6, 6, 16) is not data
    assert padded(data, conv, 6, 6, 8, dtype="float16") is not data
    bordered = Conv(1, 16, 8, 8, 4, (3, 3), padding=(1, 0, 0, 0))
    assert padded(data, bordered, 6, 6, 8) is not data


@pytest.mark.parametrize("block", [0, 4])
def test_a_channel_is_read_in_its_block(block: int) -> None:
    data = networks.random((2, 10, 3, 4))
    array = layout.pack_constant(data, block) if block else data
    inputs = placeholders(array)
    read = te.compute(data.shape, lambda *index: read_channel(inputs[0], *index))
    np.testing.assert_array_equal(computed(read, inputs, [array]), data)


def test_a_schedule_finds_the_tile_that_a_block_is_annotated_with() -> None:
    data = te.placeholder((8,), "float32", "data")
    for tile in (Tile(2, 3, 4), None):
        copied = te.compute((8,), lambda i: data[i], name="copied", attrs=annotation("direct", tile))
        sch = tvm.s_tir.Schedule(te.create_prim_func([data, copied]))
        block = sch.get_sblock("copied")
        assert sch.get(block).annotations["dlas.schedule"] == "direct"
        if tile:
            assert tile_of(sch, block) == tile
        else:
            assert "dlas.tile" not in sch.get(block).annotations


@pytest.mark.parametrize(
    ("mcpu", "dtype", "values"), [("znver4", "int8", 4), ("x86-64-v3", "int8", 2), ("cortex-a72", "int8", 1)]
)
def test_products_of_integers_are_exact_and_summed_in_groups(mcpu: str, dtype: str, values: int) -> None:
    dot = dot_of(dtype, describe(named(mcpu)))
    assert [int(axis.dom.extent) for axis in value_axis(dot)] == ([values] if values > 1 else [])
    data, weight = (te.placeholder((1,), kind, kind) for kind in (dot.data, dot.weight))
    product = te.compute((1,), lambda i: multiplied(data[i], weight[i], dot))
    assert str(product.dtype) == "int32"
    arrays = [np.array([200 if dot.data == "uint8" else 100], dot.data), np.array([-128], dot.weight)]
    found = computed(product, [data, weight], arrays)
    assert found.tolist() == [int(arrays[0][0]) * -128]


def test_float16_is_computed_in_float32() -> None:
    assert [wide(dtype) for dtype in ("float16", "float32", "int32")] == ["float32", "float32", "int32"]
    assert value_axis(Dot()) == []
