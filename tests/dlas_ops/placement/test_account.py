"""The account of the layers, and that the compiled module holds what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

import dlas_ops
from dlas_ops import Layer
from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.account import run_by
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
FIRST = Conv(1, 3, 9, 9, 16, (3, 3), padding=(1, 1, 1, 1))
DEPTHWISE = Conv(1, 16, 9, 9, 16, (3, 3), (2, 2), (1, 1, 1, 1), groups=16)
GROUPED = Conv(1, 16, 5, 5, 24, (3, 3), groups=4)


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """Return a network with one layer of every kind."""
    weights = {
        "first.weight": networks.weights_of(FIRST),
        "depthwise.weight": networks.weights_of(DEPTHWISE),
        "grouped.weight": networks.weights_of(GROUPED),
        "dense.weight": networks.random([10, 24]),
        "dense.bias": networks.random([10]),
    }
    nodes = [
        networks.conv_node(FIRST, ["x", "first.weight"], "a"),
        networks.conv_node(DEPTHWISE, ["a", "depthwise.weight"], "b"),
        networks.conv_node(GROUPED, ["b", "grouped.weight"], "c"),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "dense.weight", "dense.bias"], ["y"], transB=1),
    ]
    return networks.model(nodes, networks.shape_of(FIRST), weights)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_names_every_layer_and_what_ran(algorithm: str, network: onnx.ModelProto) -> None:
    layers = dlas_ops.lower(network, networks.target(), algorithm=algorithm).layers
    assert [(layer.name, layer.operator, layer.ran) for layer in layers[:4]] == [
        ("first.weight", "conv2d", f"{algorithm}/dense"),
        ("depthwise.weight", "depthwise_conv2d", "depthwise/dense"),
        ("grouped.weight", "grouped_conv2d", "grouped/dense"),
        ("max_pool2d_0", "max_pool2d", "window"),
    ]
    assert (layers[-1].name, layers[-1].operator) == ("dense.weight", "dense")
    assert layers[0].asked == f"{algorithm}/dense"
    assert all(layer.asked == layer.ran for layer in layers[1:]), "no other algorithm can be asked for"


def test_says_why_a_layer_did_not_run_as_asked(network: onnx.ModelProto) -> None:
    layers = dlas_ops.lower(network, networks.target(), algorithm="winograd", format="csr").layers
    assert all((layer.asked != layer.ran) == bool(layer.reason) for layer in layers)
    assert "csr" in layers[0].reason


def test_a_format_that_is_not_implemented_runs_dense_and_says_so(network: onnx.ModelProto) -> None:
    first, *_ = dlas_ops.lower(network, networks.target(), algorithm="winograd", format="csr").layers
    assert (first.asked, first.ran) == ("winograd/csr", "winograd/dense")
    assert "csr" in first.reason


def test_describes_shapes_and_work(network: onnx.ModelProto) -> None:
    first, depthwise, grouped, *_, dense = dlas_ops.lower(network, networks.target(), algorithm="direct").layers
    assert (first.input, first.weight, first.output) == ((1, 3, 9, 9), (16, 3, 3, 3), (1, 16, 9, 9))
    assert first.macs == 16 * 9 * 9 * 3 * 9
    assert (depthwise.stride, depthwise.padding, depthwise.groups) == ((2, 2), (1, 1, 1, 1), 16)
    assert depthwise.macs == 16 * 5 * 5 * 9
    assert grouped.macs == 24 * 3 * 3 * 4 * 9
    assert (dense.weight, dense.macs) == ((10, 24), 240)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_module_holds_the_algorithm(algorithm: str, network: onnx.ModelProto) -> None:
    """Look for each algorithm's own block in the lowered programs, not for the name of a function."""
    lowered = dlas_ops.lower(network, networks.target(), algorithm=algorithm)
    text = lowered.module.script(show_meta=False)
    held = {name for name in [*ALGORITHMS, "im2col", "depthwise", "grouped"] if f'T.sblock("{name}")' in text}
    assert held == {algorithm, "depthwise", "grouped"} | ({"im2col"} if algorithm == "gemm" else set())


def constants(lowered: dlas_ops.Lowered) -> list[NDArray[Any]]:
    """Return the arrays that a lowered network holds."""
    found: list[NDArray[Any]] = []

    def note(node: Any) -> None:
        if isinstance(node, tvm.ir.expr.GenericConst):
            found.append(node.value.numpy())

    tvm.relax.analysis.post_order_visit(lowered.module["main"], note)
    return found


@pytest.mark.parametrize(("dtype", "format"), [("float32", "dense"), ("float16", "dense"), ("float32", "csr")])
@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack"])
def test_stored_bytes_are_those_of_all_that_the_module_holds_but_biases(
    algorithm: str, dtype: str, format: str, network: onnx.ModelProto
) -> None:
    lowered = dlas_ops.lower(network, networks.target(), algorithm=algorithm, format=format, dtype=dtype)
    bias = 10 * 4
    assert sum(layer.stored_bytes for layer in lowered.layers) == sum(a.nbytes for a in constants(lowered)) - bias
    assert all((layer.stored_bytes > 0) == bool(layer.weight) for layer in lowered.layers)


# Processor → the dtype that its instruction for products of small integers takes weights in.
@pytest.mark.parametrize(("mcpu", "dtype"), [("x86-64-v3", np.int16), ("cascadelake", np.int8)])
def test_stored_bytes_of_int8_are_those_of_all_small_integers_that_the_module_holds(
    mcpu: str, dtype: type[np.integer[Any]], network: onnx.ModelProto
) -> None:
    images = networks.random([8, *networks.shape_of(FIRST)[1:]])
    target = named(mcpu)
    lowered = dlas_ops.lower(network, target, algorithm="gemm", dtype="int8", calibration=images)
    small = [array for array in constants(lowered) if array.dtype in (np.int8, np.int16)]
    assert dtype in {array.dtype.type for array in small}
    assert sum(layer.stored_bytes for layer in lowered.layers if layer.weight) == sum(array.nbytes for array in small)


def test_layers_survive_json() -> None:
    layer = Layer("w", "conv2d", (1, 2), (3,), (4,), "gemm/dense", "depthwise/dense", "why", stride=(1, 1), groups=2)
    assert Layer.from_json(json.loads(json.dumps(layer.to_json()))) == layer


def test_saved_and_loaded_networks_build_alike(network: onnx.ModelProto, tmp_path: Path) -> None:
    lowered = dlas_ops.lower(network, networks.target(), algorithm="spatial_pack")
    dlas_ops.save(lowered, tmp_path / "lowered")
    loaded = dlas_ops.load(tmp_path / "lowered")
    data = networks.random(networks.shape_of(FIRST))
    assert loaded.layers == lowered.layers
    expected = networks.run_library(dlas_ops.build(lowered, networks.target()).library, data)
    actual = networks.run_library(dlas_ops.build(loaded, networks.target()).library, data)
    np.testing.assert_array_equal(actual, expected)


def test_unknown_algorithm_and_dtype_are_refused(network: onnx.ModelProto) -> None:
    with pytest.raises(ValueError, match="spatial_pack"):
        dlas_ops.lower(network, networks.target(), algorithm="fft")
    with pytest.raises(ValueError, match="float32"):
        dlas_ops.compile(network, networks.target(), algorithm="direct", dtype="float64")


@pytest.mark.parametrize(
    ("algorithm", "dtype", "format"),
    [
        ("direct", "float32", "dense"),
        ("winograd", "float32", "dense"),
        ("gemm", "float32", "csr"),
        ("spatial_pack", "float16", "dense"),
        ("direct", "int8", "dense"),
    ],
)
def test_every_layer_is_run_by_one_program(algorithm: str, dtype: str, format: str, network: onnx.ModelProto) -> None:
    images = networks.random([4, *networks.shape_of(FIRST)[1:]])
    model = dlas_ops.quantize(network, images) if dtype == "int8" else network
    lowered = dlas_ops.lower(model, networks.target(), algorithm=algorithm, format=format, dtype=dtype)
    _, timed = dlas_ops.build_ticking(lowered, networks.target(), runs=1)
    run = [name for call in timed for name in call.layers]
    assert sorted(run) == sorted(layer.name for layer in lowered.layers)


def layer(name: str, program: str = "", call: int = -1, operator: str = "conv2d") -> Layer:
    return Layer(name, operator, (1,), (1,), (1,), "direct/dense", "direct/dense", program=program, call=call)


def test_programs_run_the_layers_of_their_calls_and_those_that_they_are_named_after() -> None:
    layers = [
        layer("first", "fused_conv2d_direct", 3),
        layer("second", "fused_conv2d_direct", 1),  # fusing has changed the order
        layer("max_pool2d_0", operator="max_pool2d"),
        layer("third", "fused_conv2d_direct2_add", 5),
        layer("fourth", "fused_conv2d_direct2_add", 5),  # two layers in one program
        layer("max_pool2d_1", operator="max_pool2d"),
    ]
    programs = ["pack", "fused_conv2d_direct", "max_pool2d", "fused_conv2d_direct", "fused_max_pool2d3_relu"]
    programs += ["fused_conv2d_direct2_add", "max_pool2ds", "fused_conv2d_direct"]
    found = run_by(programs, layers)
    assert found[:5] == [(), ("second",), ("max_pool2d_0",), ("first",), ("max_pool2d_1",)]
    assert found[5:] == [("third", "fourth"), (), ()]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_layer_with_weights_names_the_program_that_reads_them(algorithm: str, network: onnx.ModelProto) -> None:
    lowered = dlas_ops.lower(network, networks.target(), algorithm=algorithm)
    programs = {layer.name: layer.program for layer in lowered.layers}
    assert [name for name, program in programs.items() if not program] == ["max_pool2d_0", "global_avg_pool2d_0"]
    named = [program for program in programs.values() if program]
    assert sorted(named, key=networks.calls(lowered.module).index) == named
    kinds = [f"conv2d_{algorithm}", "depthwise_conv2d", "grouped_conv2d", "dense"]
    assert all(kind in program for kind, program in zip(kinds, named, strict=True)), named


def test_layers_that_are_alike_name_one_program() -> None:
    conv, nodes = networks.REPEATED, []
    for index in range(3):
        nodes.append(networks.conv_node(conv, [f"r{index}" if index else "x", f"w{index}"], f"c{index}"))
        nodes.append(helper.make_node("Relu", [f"c{index}"], ["y" if index == 2 else f"r{index + 1}"]))
    weights = {f"w{index}": networks.weights_of(conv, index) for index in range(3)}
    network = networks.model(nodes, networks.shape_of(conv), weights)
    lowered = dlas_ops.lower(network, networks.target(), algorithm="direct")
    first, second, third = (layer.program for layer in lowered.layers)
    assert first != second == third, "the first reads the network's input, which is in no blocks"
    assert {first, second} <= set(networks.calls(lowered.module))
