"""The graph that algorithms are chosen on, as a placement records it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import DENSITY_STEP, Graph, Join, Problem, Recorder, density_of
from dlas_ops.placement.value import Value
from tests.dlas_ops.placement.before_after import tensor

CONV = Conv(1, 16, 4, 4, 24, (3, 3))
SHAPE = (1, 16, 4, 4)


def value(layer: str, block: int = 8) -> Value:
    return Value(tensor((1, 2, 4, 4, 8)), SHAPE, block, layer=layer)


@pytest.mark.parametrize("share", [1.0, 0.9, 0.33, 0.01])
def test_densities_come_in_steps(share: float) -> None:
    weight = np.zeros(10_000)
    weight[: round(share * weight.size)] = 1
    density = density_of(weight)
    assert share / DENSITY_STEP < density < share * DENSITY_STEP
    weight[0] = 0
    assert density_of(weight) in (density, pytest.approx(density / DENSITY_STEP, rel=1e-4))


def test_weights_without_any_number_but_zero_have_no_density() -> None:
    assert density_of(np.zeros(10)) == 0


def test_the_size_of_weights() -> None:
    weights = 24 * 16 * 9
    assert Problem("conv2d", CONV).weight_bytes == 4 * weights
    assert Problem("conv2d", CONV, dtype="float16").weight_bytes == 2 * weights
    assert Problem("conv2d", CONV, format="csr", density=0.5).weight_bytes == weights // 2 * (4 + 4)
    assert Problem("max_pool2d", CONV).weight_bytes == 0


def test_a_join_is_a_conversion_of_its_tensor() -> None:
    problem = Join(SHAPE, "first", ("second", None), "int8").problem
    assert (problem.operator, problem.plain, problem.dtype) == ("convert", True, "int8")
    assert not Join(SHAPE, "first", ("second",)).problem.plain


def test_a_tensor_that_another_layer_reads_is_a_join() -> None:
    recorder = Recorder()
    for layer in ("first", "second"):
        recorder.decides(layer, Problem("conv2d", CONV))
    held = value("first")
    for reader in ("first", "second", "second", None):
        recorder.reads(held, reader)
    recorder.reads(value("first", 0), "second")  # is in no layout
    graph = recorder.graph()
    assert list(graph.joins) == [Join(SHAPE, "first", ("second", None))]
    assert (recorder.position("first"), recorder.position("second"), recorder.position("")) == (0, 1, -1)


def test_sparse_layers_want_one_layout_and_join_nothing() -> None:
    recorder = Recorder()
    recorder.decides("dense", Problem("conv2d", CONV))
    recorder.decides("sparse", Problem("conv2d", CONV, format="csr"))
    recorder.reads(value("dense"), "sparse")
    for layer in ("dense", "sparse"):
        recorder.follows(value(layer), Problem("max_pool2d", CONV))
    graph = recorder.graph()
    assert list(graph.joins) == []
    assert [layer for layer, _ in graph.followers] == ["dense"]


def test_what_is_measured_is_measured_once_and_survives_json() -> None:
    problem, pooling = Problem("conv2d", CONV), Problem("max_pool2d", CONV)
    joins = [Join(SHAPE, "a", ("b", None)), Join(SHAPE, "b", ("a", None))]
    graph = Graph({"a": problem, "b": problem}, [("a", pooling)], joins)
    assert graph.distinct() == [problem, pooling, joins[0].problem]
    assert graph.weight_bytes == 2 * problem.weight_bytes
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
