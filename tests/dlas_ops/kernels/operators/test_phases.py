"""Pieces added up, and depthwise transposed convolutions, against the definition in NumPy over drawn shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import phases
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.dimensions import Window, conv_of
from dlas_ops.kernels.shared.transposed import Transposed
from dlas_ops.processor.targets import describe
from tests.dlas_ops.kernels.shared.test_transposed import defined, operands, transposed
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS
from tests.dlas_ops.tensor_programs import blocked, placeholders, plain, ran, scheduled

UNET = Transposed((8, 8), Window((3, 3), (2, 2), (1, 1), (1, 1), (1, 1)), (1, 1), 1, 32, 32)
# As this machine runs what is scheduled for another, only the lanes of a vector differ.
PROCESSORS = st.sampled_from(["znver4", "x86-64-v3", "cortex-a72"])


@pytest.mark.parametrize("examples", EXAMPLES)
def test_adds_up_the_pieces_of_a_convolution(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(transposed(), PROCESSORS, st.booleans(), st.booleans())
    def cases(form: Transposed, mcpu: str, whole: bool, integers: bool) -> None:
        if min(form.output()) < 1:
            return
        cpu = describe(named(mcpu))
        data, weight = operands(form)
        if integers:
            data, weight = np.rint(4 * data), np.rint(4 * weight)
        conv = conv_of(data.shape, form.channels, form.ordinary(), form.groups)
        held = reference.conv2d(data, form.weight(weight), conv).astype("int32" if integers else "float32")
        shape = (2, form.groups * form.outputs, *form.output())
        own, result = (count + -count % cpu.lanes() if whole else cpu.lanes() for count in (held.shape[1], shape[1]))
        array = blocked(held, own)
        [pieces] = placeholders(array)
        output = phases.interleaved(pieces, form, held.shape, shape, result, cpu.lanes())
        program = scheduled(tvm.te.create_prim_func([pieces, output]), mcpu)
        expected = defined(form, data, weight)
        np.testing.assert_allclose(plain(ran(program, [array]), shape[1]), expected, rtol=1e-4, atol=1e-4)

    cases()


@st.composite
def depthwise(draw: st.DrawFn) -> Transposed:
    form = draw(transposed())
    return replace(form, groups=draw(st.sampled_from([2, 16, 21, 40])), inputs=1, outputs=1)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_depthwise_one_is_its_definition(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(depthwise(), PROCESSORS, st.sampled_from(["float32", "float16", "uint8"]))
    def cases(form: Transposed, mcpu: str, dtype: str) -> None:
        if min(form.output()) < 1:
            return
        cpu, border = describe(named(mcpu)), 7 if dtype == "uint8" else 0
        data, weight = operands(form)
        if border:
            data, weight = np.clip(np.rint(20 * data + 128), 0, 255), np.rint(20 * weight)
        data, weight = data.astype(dtype), weight.astype("int8" if border else dtype)
        shape, block = (2, form.groups, *form.output()), cpu.lanes()
        arrays = blocked(data, block), phases.pack_depthwise(weight, -(-form.groups // block), block)
        held, packed = placeholders(*arrays)
        output = phases.depthwise(held, packed, form, shape, cpu, border)
        assert output.dtype == ("int32" if border else "float32")
        result = ran(scheduled(tvm.te.create_prim_func([held, packed, output]), mcpu), arrays)
        expected = defined(form, data.astype(np.float32) - border, weight.astype(np.float32))
        np.testing.assert_allclose(plain(result, form.groups), expected, rtol=1e-5, atol=1e-4)

    cases()


@pytest.mark.parametrize("mcpu", ["znver4", "x86-64-v3", "cortex-a72"])
def test_each_phase_is_unrolled_and_its_channels_are_vectors(mcpu: str) -> None:
    lanes, source = describe(named(mcpu)).lanes(), (1, UNET.channels, 8, 8)
    shape = (1, 32, *UNET.output())
    assert UNET.apart == (True, True)
    pieces = tvm.te.placeholder((1, source[1] // lanes, *source[2:], lanes), "float32")
    output = phases.interleaved(pieces, UNET, source, shape, lanes, lanes)
    loops = f"{32 // lanes * 8}, 8, unrolled 2, unrolled 2, vector {lanes}"
    found = nests(scheduled(tvm.te.create_prim_func([pieces, output]), mcpu))
    assert {name: nest.removeprefix("parallel ") for name, nest in found.items()} == {
        "interleaved": loops, "output": loops,
    }  # fmt: skip
