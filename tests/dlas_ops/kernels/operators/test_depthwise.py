"""Depthwise convolution: how weights are packed, the tile, and what the schedule makes of the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import depthwise
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import Window, conv_of, kernels_of, slices_of
from dlas_ops.processor.cpus import describe_cpu
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS
from tests.dlas_ops.tensor_programs import blocked, placeholders, plain, program, ran, scheduled

CONV = Conv(1, 32, 8, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=32)

# Processor → the loops of more than one step around every block, as defined and as scheduled.
NESTS = {
    "znver4": (
        {
            "padded": "2, 10, 10, 16",
            "depthwise": "2, 8, 8, 16, 3, 3",
            "output": "2, 8, 8, 16",
            "T_add": "2, 8, 8, 16",
            "compute": "2, 8, 8, 16",
        },
        {
            "padded": "2, 10, 10, vector 16",
            "depthwise_init": "2, 4, unrolled 2, unrolled 8, vector 16",
            "depthwise_update": "2, 4, unrolled 3, unrolled 3, unrolled 2, unrolled 8, vector 16",
            "compute": "2, 4, unrolled 2, unrolled 8, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "padded": "4, 10, 10, 8",
            "depthwise": "4, 8, 8, 8, 3, 3",
            "output": "4, 8, 8, 8",
            "T_add": "4, 8, 8, 8",
            "compute": "4, 8, 8, 8",
        },
        {
            "padded": "4, 10, 10, vector 8",
            "depthwise_init": "4, 8, unrolled 8, vector 8",
            "depthwise_update": "4, 8, unrolled 3, unrolled 3, unrolled 8, vector 8",
            "compute": "4, 8, unrolled 8, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", NESTS)
def test_a_window_slides_over_a_tile_in_registers(mcpu: str) -> None:
    """The whole window is unrolled around a tile of points, a vector of channels each."""
    defined = program(mcpu, CONV, str(describe_cpu(named(mcpu)).lanes()))
    before, after = NESTS[mcpu]
    assert nests(defined) == before
    assert nests(scheduled(defined, mcpu)) == after


@settings(SETTINGS, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 3), st.sampled_from([4, 8, 16]))
def test_packs_channels_in_blocks(channels: int, height: int, width: int, block: int) -> None:
    weight = networks.random((channels, 1, height, width))
    packed = depthwise.pack(weight, -(-channels // block), block)
    for c, h, w in np.ndindex(channels, height, width):
        assert packed[c // block, h, w, c % block] == weight[c, 0, h, w]
    assert np.count_nonzero(packed) == np.count_nonzero(weight)


@st.composite
def volumes(draw: st.DrawFn) -> tuple[tuple[int, ...], Window]:
    """Draw the shape of volumes and a window over them."""

    def each(*values: int) -> tuple[int, ...]:
        return tuple(draw(st.sampled_from(values)) for _ in range(3))

    channels = draw(st.sampled_from([3, 16, 21]))
    return (2, channels, *each(5, 6, 9)), Window(each(1, 2, 3), each(1, 2), each(0, 1), each(0, 1, 2), each(1, 1, 2))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_volumes_are_convolved_slice_by_slice(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(volumes(), st.sampled_from(["znver4", "x86-64-v3", "cortex-a72"]), st.sampled_from(["float32", "uint8"]))
    # With its border, as many slices are seen as there are without.
    @example(((2, 3, 5, 5, 5), Window((1, 1, 1), (2, 1, 1), (1, 0, 0), (0, 0, 0), (1, 1, 1))), "znver4", "float32")
    def cases(drawn: tuple[tuple[int, ...], Window], mcpu: str, dtype: str) -> None:
        shape, window = drawn
        cpu, border = describe_cpu(named(mcpu)), 7 if dtype == "uint8" else 0
        weight = np.rint(9 * networks.random((shape[1], 1, *window.kernel)))
        data = np.clip(np.rint(9 * networks.random(shape) + 50), 0, 255)
        batch, channels, depth, height, width = shape
        conv = conv_of((batch * depth, channels, height, width), channels, window.flat(), channels)
        slices, blocks = slices_of(shape, window, channels), -(-channels // cpu.lanes())
        packed = depthwise.pack(kernels_of(weight) if slices is None else weight, blocks, cpu.lanes())
        maps = data.swapaxes(1, 2).reshape(-1, channels, height, width)
        arrays = blocked(maps, cpu.lanes()).astype(dtype), packed.astype("int8" if border else dtype)
        inputs = placeholders(*arrays)
        output = depthwise.compute(conv, inputs[0], inputs[1], cpu, border, slices)
        result = plain(ran(scheduled(tvm.te.create_prim_func([*inputs, output]), mcpu), arrays), channels)
        sums = result.reshape(batch, -1, *result.shape[1:]).swapaxes(1, 2)
        # Integers come with what the zero point adds; it lies around the volume.
        sums = sums - border * weight.sum(axis=(2, 3, 4)).reshape(1, -1, 1, 1, 1)
        wide = np.pad(data - border, ((0, 0), (0, 0), *zip(window.begin, window.end, strict=True)))
        extents = [(size - 1) * step + 1 for size, step in zip(window.kernel, window.dilation, strict=True)]
        seen = sliding_window_view(wide, extents, axis=(2, 3, 4))
        steps = tuple(slice(None, None, step) for step in (*window.stride, *window.dilation))
        expected = np.einsum("ncdhwijk,cijk->ncdhw", seen[:, :, *steps], weight[:, 0])
        np.testing.assert_array_equal(sums, expected)

    cases()


@settings(SETTINGS, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["x86-64-v2", "x86-64-v3", "znver4", "cortex-a72"]))
def test_a_tile_leaves_half_of_the_registers(height: int, width: int, mcpu: str) -> None:
    cpu = describe_cpu(named(mcpu))
    tile = depthwise.window_tile(height, width, cpu)
    assert tile.points <= cpu.vector_registers // 2
    assert height % tile.height == 0


def test_few_products_are_summed_in_float16_where_the_processor_can() -> None:
    conv, large = Conv(1, 8, 9, 9, 8, (3, 3), groups=8), Conv(1, 8, 9, 9, 8, (5, 5), groups=8)
    for mcpu, expected in (("sapphirerapids", True), ("znver4", False)):
        assert depthwise.in_half(conv, "float16", describe_cpu(named(mcpu))) is expected
        assert not depthwise.in_half(large, "float16", describe_cpu(named(mcpu)))
