"""Grouped convolution: how weights are packed, and what the schedule makes of the definition on named processors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.kernels.operators import grouped
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS, weights
from tests.dlas_ops.tensor_programs import blocked, placeholders, plain, ran, scheduled

CONV = Conv(1, 32, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1), groups=2)


def layer(mcpu: str) -> PrimFunc:
    """Return the convolution on blocks of one vector of channels."""
    cpu = describe(named(mcpu))
    lanes = cpu.lanes()
    packed = grouped.pack(np.zeros((64, 16, 3, 3), np.float32), CONV, cpu)
    data = tvm.te.placeholder((1, 32 // lanes, 8, 8, lanes), "float32")
    weight = tvm.te.placeholder(packed.shape, "float32")
    return tvm.te.create_prim_func([data, weight, grouped.compute(CONV, data, weight, lanes, cpu)])


# Processor → the loops of more than one step around every block, as defined and as scheduled.
NESTS = {
    "znver4": (
        {
            "gathered": "2, 10, 10, 16",
            "grouped": "2, 2, 8, 8, 16, 3, 3, 16",
            "output": "4, 8, 8, 16",
        },
        {
            "gathered": "10, 2, 10, vector 16",
            "grouped_init": "parallel 16, unrolled 2, unrolled 4, unrolled 2, vector 16",
            "grouped_update": "parallel 16, 3, 3, 16, unrolled 2, unrolled 4, unrolled 2, vector 16",
            "grouped_local": "parallel 16, unrolled 2, unrolled 4, unrolled 2, vector 16",
            "output": "32, 8, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "gathered": "2, 10, 10, 16",
            "grouped": "2, 4, 8, 8, 8, 3, 3, 16",
            "output": "8, 8, 8, 8",
        },
        {
            "gathered": "10, 2, 10, 2, vector 8",
            "grouped_init": "parallel 64, unrolled 2, unrolled 2, unrolled 2, vector 8",
            "grouped_update": "parallel 64, 3, 3, 16, unrolled 2, unrolled 2, unrolled 2, vector 8",
            "grouped_local": "parallel 64, unrolled 2, unrolled 2, unrolled 2, vector 8",
            "output": "64, 8, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", NESTS)
def test_groups_are_gathered_and_then_tiled(mcpu: str) -> None:
    """All tiles of all groups run in parallel, each in registers."""
    defined = layer(mcpu)
    before, after = NESTS[mcpu]
    assert nests(defined) == before
    assert nests(scheduled(defined, mcpu)) == after


@settings(SETTINGS, max_examples=25)
@given(weights(), st.integers(1, 4))
def test_packs_each_group_by_itself(weight: networks.Array, groups: int) -> None:
    """The block is a power of two that holds a group's outputs, at most a vector."""
    outputs, inputs, height, width = weight.shape
    whole = np.concatenate([weight] * groups)
    conv = Conv(1, inputs * groups, 8, 8, outputs * groups, (height, width), groups=groups)
    packed = grouped.pack(whole, conv, describe(named("znver4")))
    block = packed.shape[-1]
    assert block == min(16, 1 << (outputs - 1).bit_length())
    for g, o, i, h, w in np.ndindex(groups, *weight.shape):
        assert packed[g, o // block, h, w, i, o % block] == weight[o, i, h, w]


@st.composite
def grouped_convolutions(draw: st.DrawFn) -> Conv:
    """Draw a convolution of groups, half of them pointwise, whose channels are whole vectors or not."""
    groups, depth, outputs = (
        draw(st.sampled_from(sizes)) for sizes in ([2, 3, 8], [1, 4, 5, 8, 20], [1, 4, 8, 12, 20])
    )
    kernel, edge = draw(st.sampled_from([((1, 1), 0), ((1, 1), 0), ((3, 3), 1), ((2, 3), 1)]))
    return Conv(
        2, groups * depth, draw(st.sampled_from([6, 8, 11])), 8, groups * outputs, kernel, padding=(edge,) * 4,
        stride=draw(st.sampled_from([(1, 1), (1, 1), (2, 2)])), groups=groups,
    )  # fmt: skip


@pytest.mark.parametrize("examples", EXAMPLES)
def test_is_the_convolution_of_each_group(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(grouped_convolutions(), st.sampled_from(["znver4", "x86-64-v3", "cortex-a72"]), st.booleans())
    def cases(conv: Conv, mcpu: str, last: bool) -> None:
        cpu = describe(named(mcpu))
        data, weight = networks.random(networks.shape_of(conv)), networks.weights_of(conv)
        read, written = (
            count + -count % cpu.lanes() if last else cpu.lanes() for count in (conv.in_channels, conv.out_channels)
        )
        arrays = blocked(data, read), grouped.pack(weight, conv, cpu)
        inputs = placeholders(*arrays)
        output = grouped.compute(conv, inputs[0], inputs[1], written, cpu)
        result = ran(scheduled(tvm.te.create_prim_func([*inputs, output]), mcpu), arrays)
        expected = reference.conv2d(data, weight, conv)
        np.testing.assert_allclose(plain(result, conv.out_channels), expected, rtol=1e-4, atol=1e-4)

    cases()
