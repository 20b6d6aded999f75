"""Operators that move or reduce points, before and after they are placed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.placement.rules import maps
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.placement.before_after import Case

relax = tvm.relax

SHAPE = (1, 16, 6, 5)


def test_rows_are_cut_in_blocks() -> None:
    case = Case()
    call = relax.op.strided_slice(case.argument(SHAPE, 8, layer="first"), [2], [1], [5], [2])

    def expected(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.strided_slice(x, [2], [1], [5], [2]))

    value = case.becomes(maps.strided_slice, call, expected)
    assert (value.shape, value.block, value.layer) == ((1, 16, 2, 5), 8, "first")


def test_whole_blocks_of_channels_are_cut() -> None:
    case = Case()
    call = relax.op.strided_slice(case.argument(SHAPE, 8), [1], [8], [16], [1])

    def expected(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.strided_slice(x, [1], [1], [2], [1]))

    assert case.becomes(maps.strided_slice, call, expected).shape == (1, 8, 6, 5)


@pytest.mark.parametrize(("begin", "end", "step"), [(4, 12, 1), (0, 4, 1), (0, 16, 2)])
def test_parts_of_a_block_of_channels_are_left(begin: int, end: int, step: int) -> None:
    case = Case()
    case.is_left(maps.strided_slice, relax.op.strided_slice(case.argument(SHAPE, 8), [1], [begin], [end], [step]))


def test_columns_are_joined_in_blocks() -> None:
    case = Case()
    call = relax.op.concat([case.argument(SHAPE, 8), case.argument(SHAPE, 8)], axis=3)
    value = case.becomes(maps.concat, call, lambda builder, x, y: builder.emit(relax.op.concat([x, y], axis=3)))
    assert (value.shape, value.block) == ((1, 16, 6, 10), 8)


def test_what_is_in_other_blocks_is_left() -> None:
    case = Case()
    case.is_left(maps.concat, relax.op.concat([case.argument(SHAPE, 8), case.argument(SHAPE, 16)], axis=3))


def test_a_reduction_over_channels_is_left() -> None:
    case = Case()
    case.is_left(maps.reduced, relax.op.max(case.argument(SHAPE, 8), [1, 2]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_a_program_moves_stays_as_it_is_stored(dtype: str) -> None:
    """The importer writes padding as a program of float32."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Pad", ["c", "pads"], ["p"]),
        helper.make_node("Conv", ["p", "v"], ["y"]),
    ]
    weights: dict[str, Any] = {
        "w": networks.random([32, 16, 1, 1]), "v": networks.random([8, 32, 1, 1]), "pads": np.array([0, 0, 1, 2] * 2),
    }  # fmt: skip
    network = networks.model(nodes, (1, 16, 5, 6), weights)
    data = networks.random([1, 16, 5, 6])
    compiled = dlas_ops.compile(network, networks.target(), algorithm="direct", dtype=dtype)
    tolerance = {"float16": 4e-3, "bfloat16": 2e-2}[dtype]
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(network, data), tolerance)


@pytest.mark.parametrize(("order", "programs"), [
    ([0, 2, 1, 3, 4], ["conv2d_direct", "channel_shuffle", "conv2d_direct1"]),
    ([0, 2, 1, 4, 3], ["conv2d_direct", "fused_unpack_reshape_transpose_reshape1", "conv2d_direct1"]),
])  # fmt: skip
def test_a_shuffle_of_channels_is_one_program_and_stays_in_blocks(order: list[int], programs: list[str]) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["c"]), helper.make_node("Reshape", ["c", "split"], ["g"]),
        helper.make_node("Transpose", ["g"], ["t"], perm=order), helper.make_node("Reshape", ["t", "whole"], ["s"]),
        helper.make_node("Conv", ["s", "w"], ["y"]),
    ]  # fmt: skip
    weights = {"v": networks.random((24, 4, 1, 1)), "w": networks.random((16, 24, 1, 1))}
    shapes = {"split": np.array([1, 3, 8, 6, 6]), "whole": np.array([1, 24, 6, 6])}
    network = networks.model(nodes, (1, 4, 6, 6), {**weights, **shapes})
    lowered = dlas_ops.lower(network, networks.target(), algorithm="direct")
    assert networks.calls(lowered.module)[: len(programs)] == programs
    data = networks.random((1, 4, 6, 6))
    result = networks.run(dlas_ops.build(lowered, networks.target()), data)
    networks.assert_close(result, networks.run_onnxruntime(network, data))
