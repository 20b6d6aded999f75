"""Selecting an algorithm for each layer: what is measured, how it is weighed, and that the network then runs so."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops import quantize
from dlas_ops._tvm import tvm
from dlas_ops.compiler import DTYPES
from dlas_ops.kernels.algorithms import gemm
from dlas_ops.kernels.registry import Asked, Selection, implemented, names
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Graph, Join, Problem, problem_of
from dlas_ops.processor.targets import describe, native_target
from dlas_ops.selection import candidates, selection
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.kernels.sparse.test_sparse import mixed
from tests.dlas_ops.named_targets import named

FIRST = Conv(1, 3, 12, 12, 48, (3, 3), padding=(1, 1, 1, 1))
INNER = Conv(1, 48, 12, 12, 48, (3, 3), padding=(1, 1, 1, 1))
POINT = Conv(1, 48, 12, 12, 48, (1, 1))
DEPTHWISE = Conv(1, 48, 12, 12, 48, (3, 3), padding=(1, 1, 1, 1), groups=48)
GROUPED = Conv(1, 48, 12, 12, 96, (3, 3), groups=3)
WIDE = Conv(1, 96, 10, 10, 32, (1, 1))


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """Return a network with residuals, a tensor of three readers, and every operator that keeps or ends a layout."""
    convolutions = {
        "first": FIRST, "inner": INNER, "point": POINT, "side": POINT, "depthwise": DEPTHWISE, "grouped": GROUPED,
        "wide": WIDE, "last": Conv(1, 80, 10, 10, 24, (1, 1)),
    }  # fmt: skip
    # Activations stay near 1, within the range of float16.
    weights = {
        name: networks.weights_of(conv) * np.float32(0.125 / conv.extent[0]) for name, conv in convolutions.items()
    }
    weights["head"] = networks.random([10, 24])

    def conv(name: str, source: str) -> onnx.NodeProto:
        return networks.conv_node(convolutions[name], [source, name], name.upper())

    nodes = [
        conv("first", "x"),
        helper.make_node("Relu", ["FIRST"], ["a"]),
        conv("inner", "a"),
        conv("point", "INNER"),
        conv("side", "a"),
        helper.make_node("Add", ["POINT", "SIDE"], ["joined"]),
        helper.make_node("Add", ["joined", "a"], ["sum"]),
        conv("depthwise", "sum"),
        conv("grouped", "DEPTHWISE"),
        conv("wide", "GROUPED"),
        helper.make_node("MaxPool", ["DEPTHWISE"], ["pooled"], kernel_shape=[3, 3]),
        helper.make_node("Concat", ["WIDE", "pooled"], ["both"], axis=1),
        conv("last", "both"),
        helper.make_node("GlobalAveragePool", ["LAST"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["y"], transB=1),
    ]
    return networks.model(nodes, networks.shape_of(FIRST), weights)


@pytest.fixture(scope="module")
def quantized(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network in int8."""
    return quantize(network, networks.random((4, *networks.shape_of(FIRST)[1:])))


def constant(problems: Sequence[Problem], seconds: float = 1e-5, conversion: float = 1e-6) -> dict[Problem, Any]:
    """Return equal costs for all candidates."""
    own = {problem: candidates.names(problem, networks.target()) for problem in problems}
    costs = {"convert": conversion}
    return {problem: dict.fromkeys(names, costs.get(problem.operator, seconds)) for problem, names in own.items()}


def chain(*, gain: float, conversion: float) -> Selection:
    """Return the choice for two layers, the first faster by `gain` as direct and the second as spatial_pack."""
    before, after = Problem("conv2d", POINT), Problem("conv2d", INNER)
    graph = Graph({"before": before, "after": after}, [], [Join((1, 48, 12, 12), "before", ("after",))])
    costs = constant(graph.distinct(), 1e-3, conversion)
    costs[before]["direct/dense"] -= gain
    costs[after]["spatial_pack/dense"] -= gain
    return selection.choose(graph, costs, networks.target(), "auto/dense")


def test_conversions_change_the_choice() -> None:
    apart = chain(gain=1e-4, conversion=1e-5).algorithms
    assert (apart["before"], apart["after"]) == ("direct/dense", "spatial_pack/dense")
    together = chain(gain=1e-4, conversion=1e-3)
    blocks = {Asked.parse(together.algorithms[layer]).module.block for layer in ("before", "after")}
    assert len({block(48, describe(networks.target())) for block in blocks}) == 1
    assert together.expected == pytest.approx(2e-3 - 1e-4)


def test_no_conversion_is_for_noise() -> None:
    algorithms = chain(gain=1e-5, conversion=1e-7).algorithms
    assert algorithms["before"] == algorithms["after"]


def test_what_keeps_the_layout_counts_with_the_layer_that_decided_it() -> None:
    follower = Problem("depthwise_conv2d", DEPTHWISE)
    graph = Graph({"only": Problem("conv2d", POINT)}, [("only", follower)], [])
    costs = constant(graph.distinct())
    for block in costs[follower]:
        slow = dict(costs[follower], **{block: 1e-3})
        chosen = selection.choose(graph, {**costs, follower: slow}, networks.target(), "auto/dense")
        algorithm = Asked.parse(chosen.algorithms["only"]).module
        assert str(algorithm.block(48, describe(networks.target()))) != block


def test_the_plan_knows_layers_followers_and_joins(network: onnx.ModelProto) -> None:
    graph = dlas_ops.plan(network, networks.target())
    assert list(graph.problems) == ["first", "inner", "point", "side", "wide", "last"]
    assert graph.problems["side"] == graph.problems["point"] == Problem("conv2d", POINT)
    assert graph.problems["first"] == Problem("conv2d", FIRST, plain=True)
    followers = [(layer, problem.operator) for layer, problem in graph.followers]
    assert followers == [("side", "depthwise_conv2d"), ("side", "max_pool2d")]
    joins = {(join.source, join.readers) for join in graph.joins}
    assert ("first", ("inner", "side")) in joins
    assert ("point", ("side",)) in joins
    assert ("", ("wide",)) in joins
    assert all(candidates.names(problem, networks.target()) for problem in graph.distinct())
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=3, derandomize=True, database=None)
@given(data=st.data())
def test_lowering_converts_as_often_as_the_selection_counts(
    network: onnx.ModelProto, quantized: onnx.ModelProto, dtype: str, data: st.DataObject
) -> None:
    model = quantized if dtype == "int8" else network
    graph = dlas_ops.plan(model, networks.target(), dtype=dtype)
    assert {problem.dtype for problem in graph.distinct()} == {dtype}
    costs = constant(graph.distinct(), 0.0, 1.0)
    drawn = {layer: data.draw(st.sampled_from(list(costs[problem]))) for layer, problem in graph.problems.items()}
    drawn[""] = f"{data.draw(st.sampled_from(implemented()))}/dense"
    expected = selection.expected(graph, costs, networks.target(), drawn)
    lowered = dlas_ops.lower(model, networks.target(), algorithm=drawn, dtype=dtype)
    calls = [name.replace("spatial_pack", "") for name in networks.calls(lowered.module)]
    assert sum("pack" in name for name in calls) == round(expected)


@pytest.mark.parametrize("shift", range(3))
def test_mixed_layouts_compute_the_same(shift: int, network: onnx.ModelProto) -> None:
    layers = ["first", "inner", "point", "side", "wide", "last", ""]
    turn = ("direct/dense", "spatial_pack/dense", "gemm/dense")
    mixed = {layer: turn[(index + shift) % 3] for index, layer in enumerate(layers)}
    compiled = dlas_ops.compile(network, networks.target(), algorithm=mixed)
    assert {layer.name: layer.ran for layer in compiled.layers if layer.name in layers} == {
        layer: ran for layer, ran in mixed.items() if layer
    }
    data = networks.random(networks.shape_of(FIRST))
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(network, data))


# A study of the tests of stage `select` has what is selected of int8 every time.
@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(dtype, marks=pytest.mark.nightly) for dtype in ("float16", "int8"))]
)
def test_selects_measures_and_runs(network: onnx.ModelProto, quantized: onnx.ModelProto, dtype: str) -> None:
    model = quantized if dtype == "int8" else network
    compiled = dlas_ops.compile(model, networks.target(), algorithm="auto", dtype=dtype)
    by_name = {layer.name.removesuffix("_quantized"): layer for layer in compiled.layers}
    for name in ("first", "inner", "side", "point", "wide", "last"):
        layer = by_name[name]
        assert layer.asked == "auto/dense"
        assert layer.ran in layer.measured
        assert layer.dtype == dtype
        assert "auto" not in layer.reason
        assert all(seconds > 0 for seconds in layer.measured.values())
    assert set(by_name["inner"].measured) >= {"direct/dense", "gemm/dense", "spatial_pack/dense"}
    for name in ("depthwise", "grouped"):
        layer = by_name[name]
        assert (layer.asked, layer.ran, layer.measured) == (f"{name}/dense", f"{name}/dense", {}), "nothing to ask"
    data = networks.random(networks.shape_of(FIRST))
    tolerance = {"float32": 1e-4, "float16": 1e-2, "int8": 2e-2}[dtype]
    expected = networks.run_reference if dtype == "int8" else networks.run_onnxruntime
    networks.assert_close(networks.run(compiled, data), expected(model, data), tolerance)


def test_selects_among_sparse_kernels() -> None:
    """Every convolution, a depthwise one too: to a sparse kernel it is a sparser matrix."""
    network, data = mixed()
    compiled = dlas_ops.compile(network, networks.target(), algorithm="auto", format="csr")
    convolutions = [layer for layer in compiled.layers if layer.operator.endswith("conv2d")]
    assert len(convolutions) == 2
    for layer in convolutions:
        assert (layer.asked, layer.reason) == ("auto/csr", "")
        assert layer.ran in layer.measured
        assert set(layer.measured) == {"direct/csr", "gemm/csr", "spatial_pack/csr"}
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(network, data))


def test_without_sparse_kernels_selects_among_dense_ones_and_says_why(
    quantized: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("direct", "gemm", "spatial_pack"):
        monkeypatch.setattr(Asked(name, "csr").module, "DTYPES", ("float32",))
    chosen = dlas_ops.select(
        quantized, networks.target(), format="csr", dtype="int8",
        measure=lambda problems: list(constant(problems).values()),
    )  # fmt: skip
    layers = dlas_ops.lower(quantized, networks.target(), algorithm=chosen, format="csr", dtype="int8").layers
    convolutions = [layer for layer in layers if layer.operator.endswith("conv2d")]
    assert len(convolutions) == 8
    for layer in convolutions:
        assert layer.asked == "auto/csr"
        assert layer.ran.endswith("/dense")
        assert "csr" in layer.reason


def test_layers_pruned_nearly_alike_are_one_problem() -> None:
    def problem(zeros: int) -> Problem:
        weight = networks.weights_of(INNER).ravel()
        weight[:zeros] = 0
        shaped = weight.reshape(48, 48, 3, 3)
        made = problem_of(INNER, shaped, "float32", "csr", networks.target(), plain=False)
        assert made is not None
        return made

    size = INNER.out_channels * INNER.in_channels * 9
    pruned = problem(size * 9 // 10)
    assert pruned == problem(size * 9 // 10 + 40)
    assert pruned.density == pytest.approx(0.1, rel=0.05)
    assert len({problem(size * share // 100) for share in (0, 50, 90, 95, 100)}) == 5
    assert problem(size).density == 0
    built = candidates.build([pruned], networks.target())
    assert set(built.weights) == {function.symbol for function in built.functions[0].values()}
    values, indices, pointers = built.weights[built.functions[0]["gemm/csr"].symbol]
    assert len(values) == len(indices) == pointers[-1]
    assert len(values) / size == pytest.approx(pruned.density, rel=0.05)
    again = candidates.build([pruned], networks.target())
    assert all(
        np.array_equal(*both)
        for name in built.weights
        for both in zip(built.weights[name], again.weights[name], strict=True)
    )


def test_only_what_supports_a_layer_is_a_candidate(network: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    supports = gemm.supports
    refusal = {(1, 1): "not today"}
    monkeypatch.setattr(gemm, "supports", lambda conv, target: refusal.get(conv.kernel) or supports(conv, target))
    asked: list[Problem] = []

    def measure(problems: Sequence[Problem]) -> list[dict[str, float]]:
        asked.extend(problems)
        costs = constant(problems)
        return [{name: s / 2 if "gemm" in name else s for name, s in costs[problem].items()} for problem in problems]

    chosen = dlas_ops.select(network, networks.target(), measure=measure)
    assert len(asked) == len(set(asked))
    assert "gemm/dense" not in chosen.measured["point"]
    assert {layer for layer, ran in chosen.algorithms.items() if layer and ran == "gemm/dense"} == {"first", "inner"}
    layers = dlas_ops.lower(network, networks.target(), algorithm=chosen).layers
    convolutions = [layer for layer in layers if layer.operator == "conv2d"]
    assert {layer.name for layer in convolutions if layer.ran == "gemm/dense"} == {"first", "inner"}
    assert Selection.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


def test_weights_count_as_they_are_stored() -> None:
    conv = Conv(1, 16, 4, 4, 32, (3, 3))
    dense, sparse = Problem("conv2d", conv), Problem("conv2d", conv, format="csr", density=0.5)
    depthwise = Problem("depthwise_conv2d", Conv(1, 16, 4, 4, 16, (3, 3), groups=16), dtype="int8")
    assert (dense.weight_bytes, sparse.weight_bytes, depthwise.weight_bytes) == (16 * 32 * 9 * 4, 16 * 32 * 9 * 4, 144)
    assert Problem("max_pool2d", conv).weight_bytes == 0
    graph = Graph({"one": dense, "other": dense}, [("one", depthwise)], [])
    assert graph.weight_bytes == 2 * dense.weight_bytes + 144


def test_another_processor_needs_a_measurement_of_its_own(network: onnx.ModelProto) -> None:
    board = named("cortex-a72", cores=4)
    with pytest.raises(ValueError, match=native_target()["mcpu"]):
        dlas_ops.compile(network, board, algorithm="auto")
    chosen = dlas_ops.select(
        network, board, measure=lambda problems: [dict.fromkeys(candidates.names(p, board), 1e-3) for p in problems]
    )
    assert set(chosen.algorithms) == {"", "first", "inner", "side", "point", "wide", "last"}


def test_what_selects_has_no_kernels_of_its_own(network: onnx.ModelProto) -> None:
    assert "auto" in names()
    assert "auto" not in implemented()
    with pytest.raises(ValueError, match="selects by measuring"):
        dlas_ops.lower(network, networks.target(), algorithm="auto")


STORED = {("float32", "dense"), ("int8", "dense"), ("float32", "csr"), ("float16", "dense")}
# What every run of the tests builds; the nightly one builds every operator as everything.
BUILT = {
    "conv2d": STORED - {("float16", "dense")},
    "depthwise_conv2d": {("int8", "dense")},
    "max_pool2d": {("float32", "csr")},
    "avg_pool2d": {("float32", "dense")},
    "convert": {("int8", "dense")},
}


@pytest.mark.parametrize(
    ("operator", "dtype", "format"),
    [
        pytest.param(operator, *stored, marks=() if stored in built else pytest.mark.nightly)
        for operator, built in BUILT.items()
        for stored in sorted(STORED)
    ],
)
def test_every_candidate_builds_and_runs(operator: str, dtype: str, format: str) -> None:
    conv = Conv(2, 20, 9, 11, 20, (3, 3), (2, 1), (1, 0, 1, 2), groups=1 if operator == "conv2d" else 20)
    densities = (0.1, 0.0) if format == "csr" else (1.0, 1.0)
    plain = (False, operator in ("conv2d", "convert"))
    problems = [
        Problem(operator, conv, flag, dtype, format, share) for flag, share in zip(plain, densities, strict=True)
    ]
    built = candidates.build(problems, networks.target())
    cores = os.sched_getaffinity(0)
    for own, timed in zip(built.functions, candidates.time_here(built, 1 << 20, tvm.cpu()), strict=True):
        assert len(own) > 1
        assert list(timed) == list(own)
        assert all(seconds > 0 for seconds in timed.values())
    assert os.sched_getaffinity(0) == cores
