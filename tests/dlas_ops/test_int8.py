"""Networks on 8-bit integers: bit-exact convolutions, operators against ONNX's own, every instruction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import assembly, emulated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.qdq import Layer, Network, Scale
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS, convolutions

ALGORITHMS = ["direct", "gemm", "spatial_pack"]
CONVS = {
    "conv2d": Conv(1, 19, 9, 11, 40, (3, 3), padding=(1, 1, 1, 1)),
    "pointwise": Conv(2, 32, 5, 5, 24, (1, 1)),
    "depthwise_conv2d": Conv(2, 24, 9, 9, 24, (3, 3), (2, 2), (1, 1, 1, 1), groups=24),
    "grouped_conv2d": Conv(1, 12, 7, 7, 20, (3, 3), groups=2),
}


class Case:
    """A convolution between quantized tensors, then a pointwise one in blocked layout; all integers known."""

    def __init__(self, conv: Conv, seed: int = 0, zero: int = 120, relu: bool = True, dtype: Any = np.uint8) -> None:
        rng = np.random.default_rng(seed)
        source = Scale(0.02, zero)
        integers = rng.integers(0, 256, networks.shape_of(conv))
        self.data = source.real(integers)
        first = Layer(conv, integers, source, seed, 255 - zero)
        middle = first.integers(relu)
        point = Conv(conv.batch, conv.out_channels, conv.out_height, conv.out_width, conv.out_channels, (1, 1))
        second = Layer(point, middle, first.output, seed + 1, zero)
        self.expected, self.scale = second.integers(False), second.output
        network = Network()
        output = network.conv(conv, network.pair("x", source, dtype), "c", first)
        if relu:
            output = network.node("Relu", [output], "r")
        output = network.conv(point, network.pair(output, first.output, dtype), "p", second)
        network.pair(output, second.output, dtype)
        self.model = network.model(self.data.shape, "p_dq")

    def check(self, algorithm: str, target: Any) -> dlas_ops.Compiled:
        compiled = dlas_ops.compile(self.model, target, algorithm=algorithm, dtype="int8")
        self.compare(networks.run(compiled, self.data))
        assert {layer.dtype for layer in compiled.layers} == {"int8"}
        return compiled

    def compare(self, actual: networks.Array) -> None:
        np.testing.assert_array_equal(self.scale.integers(actual), self.expected)


@pytest.mark.parametrize(("kind", "algorithm"), crossed(CONVS, ALGORITHMS))
def test_is_exact(kind: str, algorithm: str) -> None:
    Case(CONVS[kind]).check(algorithm, networks.target())


def test_signed_activations_are_the_same_numbers() -> None:
    Case(CONVS["conv2d"], dtype=np.int8).check("direct", networks.target())


def drawn(algorithm: str, examples: int, derandomize: bool) -> None:
    @settings(SETTINGS, max_examples=examples, derandomize=derandomize)
    @given(convolutions(), st.integers(0, 99), st.integers(0, 255), st.booleans())
    def cases(conv: Conv, seed: int, zero: int, relu: bool) -> None:
        Case(conv, seed, zero, relu).check(algorithm, networks.target())

    cases()


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes_are_exact(algorithm: str, examples: int) -> None:
    drawn(algorithm, examples, derandomize=True)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_drawn_shapes_are_exact(algorithm: str) -> None:
    drawn(algorithm, 2000, derandomize=False)


# Processor → what it needs to run here, the vector registers and the instruction of its innermost loop.
X86 = {
    "x86-64-v2": ("sse4_2", "xmm", "pmaddwd"),
    "x86-64-v3": ("avx2", "ymm", "vpmaddwd"),
    "skylake-avx512": ("avx512bw", "zmm", "vpmaddwd"),
    "alderlake": ("avx_vnni", "ymm", "vpdpbusd"),
    "cascadelake": ("avx512_vnni", "zmm", "vpdpbusd"),
    "znver4": ("avx512_bf16", "zmm", "vpdpbusd"),
}


@pytest.mark.parametrize(
    ("mcpu", "kinds"), crossed(X86, [("conv2d", "depthwise_conv2d"), ("pointwise", "grouped_conv2d")])
)
def test_every_instruction_is_exact(mcpu: str, kinds: Sequence[str]) -> None:
    """It is read off the assembly anywhere, and run where the processor has it."""
    flag, register, instruction = X86[mcpu]
    target = named(mcpu)
    for kind in kinds:
        case = Case(CONVS[kind])
        compiled = dlas_ops.compile(case.model, target, algorithm="spatial_pack", dtype="int8")
        text = assembly.text_of(compiled.library)
        assert any(instruction in line and register in line for line in text.splitlines()), kind
        if flag in networks.x86_flags():
            case.compare(networks.run(compiled, case.data))
    if flag not in networks.x86_flags():
        pytest.skip(f"this processor has no {flag}: the programs were built and read, not run")


@pytest.mark.parametrize(("kind", "arm"), crossed(CONVS, [("neoverse-n1", "sdot"), ("cortex-a72", "mla")]))
def test_arm_is_exact(kind: str, arm: tuple[str, str], tmp_path: Path) -> None:
    mcpu, instruction = arm
    target = named(mcpu, cores=4)
    case = Case(CONVS[kind])
    lowered = dlas_ops.lower(case.model, target, algorithm="direct", dtype="int8")
    assert instruction in assembly.text_of(dlas_ops.build(lowered, target).library)
    if not emulated.available():
        pytest.skip("gcc-aarch64-linux-gnu or qemu-user-static is not installed: the program was read, not run")
    case.compare(emulated.run(lowered, target, case.data, tmp_path))


def check(model: onnx.ModelProto, data: networks.Array, quantum: float, algorithm: str) -> dlas_ops.Compiled:
    """Compile the network, and compare its output with that of ONNX's own operators."""
    compiled = dlas_ops.compile(model, networks.target(), algorithm=algorithm, dtype="int8")
    compare(model, data, quantum, networks.run(compiled, data))
    return compiled


def compare(model: onnx.ModelProto, data: networks.Array, quantum: float, output: networks.Array) -> None:
    """Compare an output with that of ONNX's own operators.

    One quantum may lie between the two: each rounds floats, which come out a little different, to integers.
    """
    difference = np.abs(output - networks.run_reference(model, data))
    assert difference.max() <= 1.001 * quantum
    assert (difference > 0.5 * quantum).mean() < 0.02


# Operator → its attributes; each reads "a", the quantized output of a convolution, and "b", that of another.
OPERATORS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "Add": (["a", "b"], {}),
    "Mul": (["a", "b"], {}),
    "Concat": (["a", "b"], {"axis": 1}),
    "MaxPool": (["a"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "AveragePool": (["a"], {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "AveragePool over the border": (
        ["a"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    "AveragePool within the border": (["a"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "GlobalAveragePool": (["a"], {}),
    "Relu": (["a"], {}),
    "Sigmoid": (["a"], {}),
    "HardSwish": (["a"], {}),
    "Transpose": (["a"], {"perm": [0, 2, 3, 1]}),
    "Softmax": (["a"], {"axis": 1}),
}  # fmt: skip


def operator_network(case: str) -> tuple[onnx.ModelProto, networks.Array, float]:
    """Return a network of one of `OPERATORS`, an input for it, and the quantum of its output."""
    inputs, attributes = OPERATORS[case]
    conv = Conv(2, 5, 9, 9, 21, (3, 3), padding=(1, 1, 1, 1))
    source = Scale(0.02, 131)
    integers = np.random.default_rng(1).integers(0, 256, networks.shape_of(conv))
    network = Network()
    read = network.pair("x", source)
    for seed, name in enumerate(inputs):
        layer = Layer(conv, integers, source, seed, 100 + seed)
        network.conv(conv, read, name, layer)
        network.pair(name, Scale(float(layer.output.scale) * (1 + seed), layer.output.zero))
    network.node(case.split()[0], [f"{name}_dq" for name in inputs], "o", **attributes)
    quantum = 0.004 if case in ("Sigmoid", "Softmax") else 0.3
    network.pair("o", Scale(quantum, 90))
    return network.model(networks.shape_of(conv), "o_dq"), source.real(integers), quantum


@pytest.mark.parametrize(("case", "algorithm"), crossed(OPERATORS, ALGORITHMS))
def test_operators_agree_with_onnx(case: str, algorithm: str) -> None:
    check(*operator_network(case), algorithm)


def dense_network(rows: int, inputs: int, outputs: int) -> tuple[onnx.ModelProto, networks.Array, float]:
    """Return a network of one dense layer, an input for it, and the quantum of its output."""
    rng = np.random.default_rng(0)
    source, network = Scale(0.02, 99), Network()
    scale = rng.uniform(0.001, 0.02, outputs).astype(np.float32)
    weight = network.constant("w", rng.integers(-128, 128, (outputs, inputs)).astype(np.int8), scale)
    bias = network.constant("b", rng.integers(-999, 999, outputs).astype(np.int32), source.scale * scale)
    network.node("Gemm", [network.pair("x", source), weight, bias], "y", transB=1)
    quantum = 0.05 * inputs**0.5
    network.pair("y", Scale(quantum, 128))
    data = source.real(rng.integers(0, 256, (rows, inputs)))
    return network.model(data.shape, "y_dq"), data, quantum


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("inputs", "outputs"), [(7, 3), (512, 10), (33, 50)])
def test_dense_agrees_with_onnx(rows: int, inputs: int, outputs: int) -> None:
    compiled = check(*dense_network(rows, inputs, outputs), "direct")
    assert [(layer.name, layer.operator, layer.dtype) for layer in compiled.layers] == [("w", "dense", "int8")]


def test_the_account_says_what_is_multiplied() -> None:
    [first, second] = dlas_ops.lower(Case(CONVS["conv2d"]).model, networks.target(), algorithm="gemm").layers
    assert (first.name, first.asked, first.ran) == ("c_w", "gemm/dense", "gemm/dense")
    assert (first.dtype, first.weight, second.weight) == ("int8", (40, 19, 3, 3), (40, 40, 1, 1))
    arithmetic = {"x86-64-v3": "int16", "cascadelake": "int8"}
    for mcpu, expected in arithmetic.items():
        target = named(mcpu)
        layers = dlas_ops.lower(Case(CONVS["conv2d"]).model, target, algorithm="gemm").layers
        assert {layer.arithmetic for layer in layers} == {expected}


@pytest.mark.parametrize(("algorithm", "format"), [("winograd", "dense"), ("direct", "csr")])
def test_says_what_has_no_integers(algorithm: str, format: str) -> None:
    case = Case(CONVS["conv2d"])
    compiled = dlas_ops.compile(case.model, networks.target(), algorithm=algorithm, format=format, dtype="int8")
    case.compare(networks.run(compiled, case.data))
    for layer in compiled.layers:
        assert layer.asked == f"{algorithm}/{format}"
        assert layer.ran == f"{'direct' if format == 'csr' else 'spatial_pack'}/dense"
        assert layer.reason
    assert "int8" in compiled.layers[0].reason


def test_weights_with_a_zero_point_run_in_float32_and_the_account_says_so() -> None:
    case = Case(CONVS["conv2d"])
    zeros = next(tensor for tensor in case.model.graph.initializer if tensor.name == "c_w_z")
    zeros.CopyFrom(onnx.numpy_helper.from_array(np.full(40, 3, np.int8), "c_w_z"))
    compiled = check(case.model, case.data, float(case.scale.scale), "direct")
    first, second = compiled.layers
    assert (first.dtype, second.dtype, first.ran) == ("float32", "int8", "direct/dense")
    assert "zero point" in first.reason
    assert not second.reason
