"""Changes of layout: what the schedules make of the definitions, and constants in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.kernels.operators import layout
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.lanes import LANES
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS
from tests.dlas_ops.tensor_programs import blocked, placeholders, program, ran, scheduled

CONV = Conv(1, 32, 8, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=32)


def concatenation(mcpu: str, channels: list[int]) -> PrimFunc:
    """Return two maps of so many channels, one after the other, in blocks of one vector of them."""
    lanes = describe(named(mcpu)).lanes()
    parts = [tvm.te.placeholder((1, 32 // lanes, 8, 8, lanes), "float32") for _ in channels]
    return tvm.te.create_prim_func([*parts, layout.concatenate(parts, channels, lanes, lanes)])


# Processor → the loops of more than one step around every block, as defined and as scheduled.
NESTS = {
    "znver4": (
        {
            "concatenated": "4, 8, 8, 16",
        },
        {
            "concatenated": "32, 8, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "concatenated": "8, 8, 8, 8",
        },
        {
            "concatenated": "64, 8, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", NESTS)
def test_whole_vectors_are_copied_at_once(mcpu: str) -> None:
    """Rows of blocks are one loop."""
    defined = concatenation(mcpu, [32, 32])
    before, after = NESTS[mcpu]
    assert nests(defined) == before
    assert nests(scheduled(defined, mcpu)) == after


SCALAR = {
    "znver4": (
        {
            "concatenated": "4, 8, 8, 16",
        },
        {
            "concatenated": "32, 8, 16",
        },
    ),
    "x86-64-v3": (
        {
            "concatenated": "8, 8, 8, 8",
        },
        {
            "concatenated": "64, 8, 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", SCALAR)
def test_vectors_of_two_parts_are_copied_one_element_after_the_other(mcpu: str) -> None:
    before, after = SCALAR[mcpu]
    assert nests(concatenation(mcpu, [30, 32])) == before
    assert nests(scheduled(concatenation(mcpu, [30, 32]), mcpu)) == after


def test_conversions_are_copied_in_vectors() -> None:
    """To plain NCHW along its points, in vectors that a pass makes of the loops, to all channels along these."""
    unpacked = scheduled(program("znver4", CONV, "16>0", "convert"), "znver4")
    packed = scheduled(program("znver4", CONV, "16>32", "convert"), "znver4")
    assert (nests(unpacked), nests(packed)) == ({"unpacked": "32, 8, 8"}, {"packed": "64, 32"})
    assert unpacked.attrs[LANES] == packed.attrs[LANES] == 16


@settings(SETTINGS, max_examples=25)
@given(st.integers(1, 40), st.sampled_from([(1, 1), (1, 3), (2, 1), (2, 3)]), st.sampled_from([4, 16]))
def test_constants_broadcast_as_they_did(channels: int, size: tuple[int, int], block: int) -> None:
    array = networks.random((channels, *size))
    packed = layout.pack_constant(array, block)
    if channels == 1:
        np.testing.assert_array_equal(packed[..., 0], array[None])
    for c, h, w in np.ndindex(array.shape) if channels > 1 else ():
        assert packed[0, c // block, h, w, c % block] == array[c, h, w]


@settings(SETTINGS, max_examples=8)
@given(st.sampled_from([2, 3, 8]), st.integers(1, 12), st.sampled_from(["znver4", "x86-64-v3"]), st.booleans())
def test_shuffles_the_channels_of_groups(groups: int, own: int, mcpu: str, last: bool) -> None:
    lanes, channels = describe(named(mcpu)).lanes(), groups * own
    data = networks.random((2, channels, 3, 5))
    array = blocked(data, channels + -channels % lanes if last else lanes)
    [held] = placeholders(array)
    shuffled = tvm.te.create_prim_func([held, layout.shuffled(held, channels, groups)])
    expected = data.reshape(2, groups, own, 3, 5).swapaxes(1, 2).reshape(data.shape)
    np.testing.assert_array_equal(ran(scheduled(shuffled, mcpu), [array]), blocked(expected, array.shape[-1]))
