"""The innermost loops of every algorithm on every kind of target: the instructions expected, the sums in registers."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import pytest
from onnx import helper

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.lowering import Lowered
from tests.dlas_ops import assembly
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named

# A number at a time, or by a function.
SCALAR = r"call.*__(extendhf|truncsfhf)|bl\s+__(extendhf|truncsfhf)|\sv(fmadd\d+|mul)sh |\sf(madd|mul) h"
# Target → its multiply-add in the innermost loop, and what no program for it may hold.
HALF = {
    "sapphirerapids": (r"vfmadd\d+ph .*%[yz]mm", SCALAR),
    "neoverse-n1": (r"fmla v\d+\.[48]h", SCALAR),
}
TARGETS = {
    "x86-64-v2": (r"mulps %xmm|mulps .*\), %xmm", r"\sv\w+ps |%ymm"),
    "x86-64-v3": (r"vfmadd\d+ps .*%ymm", "%zmm"),
    "x86-64-v4": (r"vfmadd\d+ps .*%zmm", "vpdpbusd"),
    "cascadelake": (r"vfmadd\d+ps .*%zmm", "ph "),
    "znver4": (r"vfmadd\d+ps .*%zmm", "ph "),
    "sapphirerapids": (r"vfmadd\d+ps .*%zmm", "ph "),
    "cortex-a72": (r"fmla v\d+\.4s", "[su]dot "),
    "neoverse-n1": (r"fmla v\d+\.4s", r"\.8h, v"),
}
SHAPES = {
    "direct": Conv(1, 64, 28, 28, 128, (3, 3), padding=(1, 1, 1, 1)),
    "gemm": Conv(1, 64, 28, 28, 128, (3, 3), padding=(1, 1, 1, 1)),
    "spatial_pack": Conv(1, 64, 28, 28, 128, (3, 3), padding=(1, 1, 1, 1)),
    "depthwise": Conv(1, 64, 28, 28, 64, (3, 3), padding=(1, 1, 1, 1), groups=64),
    "grouped": Conv(1, 64, 28, 28, 64, (3, 3), padding=(1, 1, 1, 1), groups=4),
}


def built(kind: str, target: Any, dtype: str = "float32") -> tuple[Any, int]:
    """Return the library of a convolution with ReLU, and how many sums its tile holds."""
    conv = SHAPES[kind]
    nodes = [networks.conv_node(conv, ["x", "w"], "c"), helper.make_node("Relu", ["c"], ["y"])]
    network = networks.model(nodes, networks.shape_of(conv), {"w": networks.weights_of(conv)})
    lowered = dlas_ops.lower(network, target, algorithm=kind if conv.groups == 1 else "spatial_pack", dtype=dtype)
    return dlas_ops.build(lowered, target).library, _sums(lowered)


def _sums(lowered: Lowered) -> int:
    """Return how many sums the tile of the only layer holds."""
    [tile] = re.findall(r'"dlas.tile": \[(.*?)\]', lowered.module.script(show_meta=False))
    return prod(int(size) for size in tile.split(","))


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize(
    "mcpu",
    # The two have no instruction for float32 beside those of x86-64-v4 and znver4.
    [
        pytest.param(name, marks=pytest.mark.nightly if name in ("cascadelake", "sapphirerapids") else ())
        for name in TARGETS
    ],
)
def test_sums_stay_in_registers(mcpu: str, kind: str) -> None:
    multiply_add, forbidden = TARGETS[mcpu]
    library, sums = built(kind, named(mcpu))
    assert not re.findall(forbidden, assembly.text_of(library))
    loop = assembly.hottest(library)
    assert len(loop.multiply_adds) >= sums
    assert all(re.match(multiply_add, text) for text in loop.multiply_adds)
    assert not [text for text in loop.vector_stores if re.search(r"%rsp|\[sp", text)]
    if kind != "depthwise":  # whose innermost loop holds a whole window, and stores its output
        assert not loop.vector_stores
    if mcpu != "x86-64-v2":  # where a sum is in another register after each addition
        assert len({destination(text) for text in loop.multiply_adds}) == sums


@pytest.mark.parametrize("mcpu", ["x86-64-v3", "znver4", "neoverse-n1"])
def test_sums_of_a_dense_layer_stay_in_registers(mcpu: str) -> None:
    """The tile of a prime number of tokens is as large as the registers allow, and is computed in whole vectors."""
    network = networks.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], (1, 197, 64), {"w": networks.random((64, 192))}
    )
    lowered = dlas_ops.lower(network, named(mcpu), algorithm="gemm")
    sums = _sums(lowered)
    library = dlas_ops.build(lowered, named(mcpu)).library
    loop = assembly.hottest(library)
    assert sums >= 12
    assert len(loop.multiply_adds) % sums == 0
    assert all(re.match(TARGETS[mcpu][0], text) for text in loop.multiply_adds)
    assert not loop.vector_stores
    assert len({destination(text) for text in loop.multiply_adds}) == sums


@pytest.mark.parametrize("kind", ["direct", "gemm", "spatial_pack", "depthwise"])
@pytest.mark.parametrize("mcpu", HALF)
def test_half_sums_stay_in_registers(mcpu: str, kind: str) -> None:
    multiply_add, forbidden = HALF[mcpu]
    library, sums = built(kind, named(mcpu), "float16")
    assert not re.findall(forbidden, assembly.text_of(library))
    loop = assembly.hottest(library)
    assert len(loop.multiply_adds) >= sums
    assert all(re.match(multiply_add, text) for text in loop.multiply_adds)
    # Where a block is two pairs, LLVM unrolls their loop and keeps some inputs, not sums, on the stack.
    if (mcpu, kind) != ("neoverse-n1", "spatial_pack"):
        assert not [text for text in loop.vector_stores if re.search(r"%rsp|\[sp", text)]
    assert len({destination(text) for text in loop.multiply_adds}) == sums


def destination(multiply_add: str) -> str:
    operands = multiply_add.split(" ", 1)[1].split(", ")
    return operands[0] if multiply_add.startswith("fml") else operands[-1]


def test_finds_loops_and_what_they_spill() -> None:
    text = """
outer:
    movq %rax, %rbx
.LBB0_1:                                # comment
    vmovups (%rax), %zmm1
    vfmadd231ps (%rbx){1to16}, %zmm1, %zmm0
    vmovups %zmm0, 64(%rsp)
    jne .LBB0_1
    jmp outer
    jmp .LBB0_2
.LBB0_2:
    retq
"""
    [loop] = assembly.innermost_loops(text)
    assert len(loop.instructions) == 4
    assert loop.multiply_adds == ["vfmadd231ps (%rbx){1to16}, %zmm1, %zmm0"]
    assert loop.vector_stores == ["vmovups %zmm0, 64(%rsp)"]
