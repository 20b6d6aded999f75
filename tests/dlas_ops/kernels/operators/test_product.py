"""Matrix products of drawn shapes against NumPy's: dense layers on any rank and products of two activations."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops.compiler import Compiled
from dlas_ops.kernels.operators import batched
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS

SIZES = st.sampled_from([1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 48, 50, 64, 97])
FEW = st.integers(1, 3)
# Of the largest output; see `reference_checks.TOLERANCES`.
TOLERANCES = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


def checked(
    network: onnx.ModelProto,
    data: networks.Array,
    expected: networks.Array,
    dtype: str = "float32",
    format: str = "dense",
) -> Compiled:
    """Compile `network`, compare what it computes of `data`, and return it."""
    compiled = dlas_ops.compile(network, networks.target(), algorithm="gemm", dtype=dtype, format=format)
    networks.assert_close(networks.run(compiled, data), expected, TOLERANCES[dtype])
    return compiled


@st.composite
def dense_networks(draw: st.DrawFn) -> tuple[onnx.ModelProto, networks.Array, networks.Array]:
    """Draw a dense layer with its epilogue: the network, an input and the output."""
    leading = draw(st.lists(SIZES if draw(st.booleans()) else FEW, min_size=1, max_size=3))
    leading = leading if prod(leading) < 3000 else leading[:1]
    inputs, outputs, kind = draw(SIZES), draw(SIZES), draw(st.sampled_from(["right", "left", "turned", "gemm"]))
    weight, bias = networks.random((inputs, outputs)), networks.random((outputs,), 2)
    if kind == "gemm":
        leading = [prod(leading)]
    data = networks.random((*leading, inputs), 3)
    product = data @ weight
    nodes, weights = [helper.make_node("MatMul", ["x", "w"], ["p"])], {"w": weight, "b": bias}
    if kind == "gemm":
        nodes, weights["w"] = [helper.make_node("Gemm", ["x", "w"], ["p"], transB=1)], np.ascontiguousarray(weight.T)
    elif kind == "left" and len(leading) > 1:
        nodes, weights["w"] = [helper.make_node("MatMul", ["w", "x"], ["p"])], networks.random((outputs, leading[-1]))
        product = weights["w"] @ data
        weights["b"] = networks.random((inputs,), 2)
    elif kind == "turned" and len(leading) > 1:
        axes = [*range(len(leading) - 1), len(leading), len(leading) - 1]
        data = np.ascontiguousarray(data.transpose(axes))
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["t"], perm=axes))
        nodes[1].input[0] = "t"
    nodes.append(helper.make_node("Add", ["p", "b"], ["a"]))
    expected = product + weights["b"]
    if draw(st.booleans()):
        nodes += [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["s", "a"], ["y"])]
        expected = expected / (1 + np.exp(-expected))
    else:
        nodes.append(helper.make_node("Add", ["a", "r"], ["y"]))
        weights["r"] = networks.random(expected.shape, 5)
        expected = expected + weights["r"]
    return networks.model(nodes, data.shape, weights), data, expected


@pytest.mark.parametrize("examples", EXAMPLES)
def test_dense_layers_of_any_rank(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(
        dense_networks(),
        st.sampled_from([("float32", "dense"), ("float32", "csr"), ("float16", "dense"), ("bfloat16", "dense")]),
    )
    def cases(drawn: tuple[onnx.ModelProto, networks.Array, networks.Array], stored: tuple[str, str]) -> None:
        dtype, format = stored
        compiled = checked(*drawn, dtype=dtype, format=format)
        [layer] = compiled.layers
        assert (layer.operator, layer.ran, layer.reason, layer.dtype) == ("dense", f"gemm/{format}", "", dtype)

    cases()


@pytest.mark.parametrize("mcpu", ["native", "x86-64-v3"])
@pytest.mark.parametrize("rows", [(4, 64), (4, 49), (5, 5), (2, 3, 49)], ids=str)
def test_tiles_of_rows_go_across_images_in_front_of_a_long_function(rows: tuple[int, ...], mcpu: str) -> None:
    """A sigmoid is computed of a tile in memory, and tiles have rows of two images: on most processors."""
    if mcpu != "native" and networks.NEEDED[mcpu] not in networks.x86_flags():
        pytest.skip(f"this processor has no {networks.NEEDED[mcpu]}")
    target = networks.target() if mcpu == "native" else named(mcpu)
    data, weight = networks.random((*rows, 8)), networks.random((8, 16), 1)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Sigmoid", ["p"], ["y"])]
    network = networks.model(nodes, data.shape, {"w": weight})
    compiled = dlas_ops.compile(network, target, algorithm="gemm")
    networks.assert_close(networks.run(compiled, data), 1 / (1 + np.exp(-data @ weight)), TOLERANCES["float32"])


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw the shapes of two activations whose leading axes broadcast."""
    rows, inputs, columns = draw(SIZES), draw(SIZES), draw(SIZES)
    batch = draw(st.lists(FEW, max_size=2))
    one = [size if draw(st.booleans()) else 1 for size in batch]
    other = batch[draw(st.integers(0, len(batch))) :]
    return (*one, rows, inputs), (*other, inputs, columns)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_products_of_two_activations(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(shapes())
    @example(((8, 4, 1, 1), (8, 4, 1, 16)))  # attention over one token
    def cases(drawn: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        one, other = drawn
        data = networks.random((prod(one) + prod(other),))
        ends = {"a": prod(one), "b": prod(other)}
        nodes = [
            helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=0),
            *(helper.make_node("Reshape", [name, f"{name} shape"], [f"{name}s"]) for name in ends),
            helper.make_node("MatMul", ["as", "bs"], ["p"]),
            helper.make_node("Mul", ["p", "half"], ["y"]),
        ]
        numbers = {"sizes": [*ends.values()], "a shape": one, "b shape": other}
        weights: dict[str, Any] = {name: np.array(values, np.int64) for name, values in numbers.items()}
        network = networks.model(nodes, data.shape, {**weights, "half": np.array(0.5, np.float32)})
        expected = 0.5 * (data[: ends["a"]].reshape(one) @ data[ends["a"] :].reshape(other))
        [layer] = checked(network, data, expected).layers
        assert layer.operator == "matmul"
        assert layer.macs == expected.size * one[-1]

    cases()


def attention(tokens: int, heads: int, width: int) -> tuple[onnx.ModelProto, networks.Array, networks.Array]:
    """Return attention, as exporters write it, but for its softmax: the network, an input and the output."""
    channels = heads * width
    qkv, data = networks.random((channels, 3 * channels)) / sqrt(channels), networks.random((1, tokens, channels), 2)
    scale = np.array(1 / sqrt(width), np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "qkv"], ["l"]),
        helper.make_node("Reshape", ["l", "heads"], ["h"]),
        helper.make_node("Transpose", ["h"], ["t"], perm=[2, 0, 3, 1, 4]),
        *(helper.make_node("Slice", ["t", str(i), str(i + 1), "0"], [f"s{i}"]) for i in range(3)),
        *(helper.make_node("Squeeze", [f"s{i}", "0"], [f"p{i}"]) for i in range(3)),
        helper.make_node("Mul", ["p0", "scale"], ["q"]),
        helper.make_node("Transpose", ["p1"], ["k"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Relu", ["scores"], ["chosen"]),
        helper.make_node("MatMul", ["chosen", "p2"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["turned", "whole"], ["joined"]),
        helper.make_node("MatMul", ["joined", "out"], ["y"]),
    ]
    weights: dict[str, Any] = {str(i): np.array([i], np.int64) for i in range(4)} | {
        "heads": np.array([1, tokens, 3, heads, width]), "whole": np.array([1, tokens, channels]), "qkv": qkv,
        "scale": scale, "out": networks.random((channels, channels), 3),
    }  # fmt: skip
    q, k, v = (data @ qkv).reshape(tokens, 3, heads, width).transpose(1, 2, 0, 3)
    mixed = np.maximum(q * scale @ k.transpose(0, 2, 1), 0) @ v
    expected = mixed.transpose(1, 0, 2).reshape(1, tokens, channels) @ weights["out"]
    return networks.model(nodes, data.shape, weights), data, expected


def test_what_is_between_the_products_of_attention_is_never_written() -> None:
    """Heads are reshaped, turned, cut and scaled where the products read them."""
    network, data, expected = attention(33, 3, 20)
    checked(network, data, expected)
    lowered = dlas_ops.lower(network, networks.target(), algorithm="direct")
    assert networks.calls(lowered.module) == ["dense", "fused_matmul_relu", "matmul1", "dense1"]
    assert [(layer.operator, layer.asked, layer.ran) for layer in lowered.layers] == [
        ("dense", "gemm/dense", "gemm/dense"), ("matmul", "gemm/dense", "gemm/dense"),
        ("matmul", "gemm/dense", "gemm/dense"), ("dense", "gemm/dense", "gemm/dense"),
    ]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "batch"), [([2, 1], [3], [2, 3]), ([], [4], [4]), ([5, 1], [5, 1], [5, 1])])
def test_leading_axes_broadcast(one: list[int], other: list[int], batch: list[int]) -> None:
    assert batched.broadcast(one, other) == batch


def test_half_arithmetic_where_the_processor_has_it() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    network = networks.model([node], (1, 20, 64), {"w": networks.random((64, 32))})
    [layer] = dlas_ops.lower(network, named("sapphirerapids"), algorithm="gemm", dtype="float16").layers
    assert layer.arithmetic.startswith("float16")
    assert layer.stored_bytes == 64 * 32 * 2
    dlas_ops.build(
        dlas_ops.lower(network, named("sapphirerapids"), algorithm="gemm", dtype="float16"), named("sapphirerapids")
    )
