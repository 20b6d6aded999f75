"""Activation functions between quantized tensors: ONNX's integers to the last one, in the layer's own program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import assembly, emulated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.qdq import Layer, Network, Scale

CONV = Conv(1, 8, 9, 11, 24, (1, 1))
SOURCE = Scale(0.004, 131)
SIGMOIDS, RESULTS = Scale(1 / 256, 0), Scale(0.05, 57)


class Between:
    """Convolve, quantize, apply `nodes` from a_dq to o, quantize; `expected` is the output's integers.

    Attributes
    ----------
    reached : how many entries of a table it takes
    """

    def __init__(self, nodes: Callable[[Network], object], function: Callable[[Any], Any], conv: Conv = CONV) -> None:
        integers = np.random.default_rng(1).integers(0, 256, networks.shape_of(conv))
        layer = Layer(conv, integers, SOURCE, 0, 100)
        network = Network()
        network.weights |= {name: np.array(value, np.float32) for name, value in (("3", 3), ("6", 6), ("0", 0))}
        network.conv(conv, network.pair("x", SOURCE), "a", layer)
        network.pair("a", Scale(float(layer.output.scale), layer.output.zero))
        nodes(network)
        network.pair("o", RESULTS)
        used = {name for node in network.nodes for name in node.input}
        network.weights = {name: array for name, array in network.weights.items() if name in used}
        self.model = network.model(networks.shape_of(conv), "o_dq")
        self.data = SOURCE.real(integers)
        held = layer.output.real(layer.integers(False))
        self.reached = np.unique(held).size
        self.expected = RESULTS.quantized(function(held))

    def compare(self, actual: networks.Array) -> None:
        np.testing.assert_array_equal(RESULTS.integers(actual), self.expected)


def sigmoid(x: Any) -> Any:
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def quantized_silu(network: Network) -> None:
    network.node("Sigmoid", ["a_dq"], "s")
    network.node("Mul", ["a_dq", network.pair("s", SIGMOIDS)], "o")


def silu(x: Any) -> Any:
    return x * SIGMOIDS.real(SIGMOIDS.quantized(sigmoid(x)))


def node(operator: str, *inputs: str, **attributes: Any) -> Callable[[Network], object]:
    return lambda network: network.node(operator, ["a_dq", *inputs], "o", **attributes)


def hard_swish(x: Any) -> Any:
    bounded = np.clip(x + np.float32(3), 0, 6).astype(np.float32)
    return x * (bounded / np.float32(6))


FUNCTIONS: dict[str, tuple[Callable[[Network], object], Callable[[Any], Any]]] = {
    "silu, its sigmoid quantized": (quantized_silu, silu),
    "sigmoid": (node("Sigmoid"), sigmoid),
    "tanh": (node("Tanh"), lambda x: np.tanh(x.astype(np.float64))),
    "hard swish": (node("HardSwish"), hard_swish),
    "leaky relu": (node("LeakyRelu", alpha=0.25), lambda x: np.where(x > 0, x, x / 4)),
    "clip": (node("Clip", "0", "6"), lambda x: x.clip(0, 6)),
    "difference": (lambda network: network.node("Sub", ["3", "a_dq"], "o"), lambda x: np.float32(3) - x),
}


@pytest.mark.parametrize("algorithm", ["direct", "spatial_pack"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_exact_and_runs_in_the_convolution(name: str, algorithm: str) -> None:
    case = Between(*FUNCTIONS[name])
    assert case.reached > 200
    lowered = dlas_ops.lower(case.model, networks.target(), algorithm=algorithm, dtype="int8")
    programs = sorted(variable.name_hint for variable in lowered.module.get_global_vars())
    [layer] = [name for name in programs if "conv2d" in name]
    assert "look_up" in layer
    # The input is quantized, the layer runs, its output leaves the layout; "main" calls them.
    assert len(programs) == 4, programs
    case.compare(networks.run_library(dlas_ops.build(lowered, networks.target()).library, case.data))


@pytest.mark.parametrize("conv", [
    Conv(2, 24, 9, 9, 24, (3, 3), (2, 2), (1, 1, 1, 1), groups=24),
    Conv(1, 12, 7, 7, 20, (3, 3), groups=2),
    Conv(1, 16, 1, 1, 40, (1, 1)),
])  # fmt: skip
def test_is_exact_after_other_layers(conv: Conv) -> None:
    case = Between(quantized_silu, silu, conv)
    case.compare(networks.run(dlas_ops.compile(case.model, networks.target(), algorithm="direct"), case.data))


# Processor → what it needs to run here, and whether it permutes bytes.
X86 = {
    "x86-64-v2": ("sse4_2", False), "x86-64-v3": ("avx2", False), "cascadelake": ("avx512_vnni", False),
    "icelake-server": ("avx512vbmi", True),
}  # fmt: skip


@pytest.mark.parametrize("mcpu", X86)
def test_is_exact_on_every_processor(mcpu: str) -> None:
    flag, permutes = X86[mcpu]
    if flag not in networks.x86_flags():
        pytest.skip(f"this processor has no {flag}")
    target = named(mcpu)
    case = Between(quantized_silu, silu)
    compiled = dlas_ops.compile(case.model, target, algorithm="spatial_pack")
    case.compare(networks.run(compiled, case.data))
    text = assembly.text_of(compiled.library)
    assert ("vpermi2b" in text or "vpermt2b" in text) == permutes


@pytest.mark.parametrize("mcpu", ["neoverse-n1", "cortex-a72"])
def test_is_exact_on_arm(mcpu: str, tmp_path: Path) -> None:
    if not emulated.available():
        pytest.skip("needs Debian's packages gcc-aarch64-linux-gnu and qemu-user-static")
    target = named(mcpu, cores=4)
    case = Between(quantized_silu, silu)
    lowered = dlas_ops.lower(case.model, target, algorithm="direct", dtype="int8")
    case.compare(emulated.run(lowered, target, case.data, tmp_path))


def test_a_table_ends_where_integers_stand_for_something_else() -> None:
    """Two scales for the same integers: what the first made of them is no function of what the second says."""

    def reinterpreted(network: Network) -> None:
        network.node("Sigmoid", ["a_dq"], "s")
        network.pair("s", SIGMOIDS)
        network.weights["t_s"] = np.asarray(np.float32(0.5))
        network.node("DequantizeLinear", ["s_q", "t_s", "s_z"], "t")
        network.node("Mul", ["a_dq", "t"], "o")

    def function(x: Any) -> Any:
        return x * (SIGMOIDS.quantized(sigmoid(x)).astype(np.float32) * np.float32(0.5))

    case = Between(reinterpreted, function)
    case.compare(networks.run(dlas_ops.compile(case.model, networks.target(), algorithm="direct"), case.data))


def test_a_gate_is_applied_to_the_map_in_a_program_of_its_own() -> None:
    """Squeeze and excite: the layer of one point per channel would otherwise go over the map in its epilogue."""
    gate = Conv(1, 24, 1, 1, 24, (1, 1))
    network, weight = Network(), networks.weights_of(gate)
    integers = np.random.default_rng(1).integers(0, 256, networks.shape_of(CONV))
    layer = Layer(CONV, integers, SOURCE, 0, 100)
    network.conv(CONV, network.pair("x", SOURCE), "a", layer)
    network.pair("a", Scale(float(layer.output.scale), layer.output.zero))
    network.weights["axes"] = np.array([2, 3])
    mean = network.pair(network.node("ReduceMean", ["a_dq", "axes"], "m"), Scale(0.1, 128))
    scale = (np.abs(weight).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    quantized = network.constant("w", np.rint(weight / scale.reshape(-1, 1, 1, 1)).astype(np.int8), scale)
    network.nodes.append(networks.conv_node(gate, [mean, quantized], "c"))
    gated = network.pair(network.node("Sigmoid", [network.pair("c", Scale(0.02, 128))], "g"), SIGMOIDS)
    network.node("Mul", [gated, "a_dq"], "o")
    network.pair("o", RESULTS)
    model, data = network.model(networks.shape_of(CONV), "o_dq"), SOURCE.real(integers)
    lowered = dlas_ops.lower(model, networks.target(), algorithm="spatial_pack")
    names = [str(variable.name_hint) for variable in lowered.module.get_global_vars()]
    assert [name for name in names if "multiply" in name] == [name for name in names if name.startswith("fused_multi")]
    expected = networks.run_reference(model, data)
    actual = networks.run_library(dlas_ops.build(lowered, networks.target()).library, data)
    difference = np.abs(RESULTS.integers(actual) - RESULTS.integers(expected))
    # One quantum may lie between the two: each rounds floats, which come out a little different, to integers.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02
