"""Bytes that a library holds at work: constants, the arena that TVM plans, and the temporaries of its programs."""

from __future__ import annotations

import numpy as np
import pytest

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.memory import Memory
from tests.dlas_ops.small_networks import conv_node, model, repeated, run_library, shape_of, target, weights_of

# Channels are a multiple of the vectors of every processor, so that no layout pads them.
CONV = Conv(1, 64, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))
MAP = 64 * 8 * 8 * 4  # bytes


def memory_of(convolutions: int, algorithm: str = "direct") -> Memory:
    names = ["x", *(f"a{number}" for number in range(1, convolutions)), "y"]
    nodes = [conv_node(CONV, [names[i], f"w{i}"], names[i + 1]) for i in range(convolutions)]
    network = model(nodes, shape_of(CONV), {f"w{i}": weights_of(CONV, i) for i in range(convolutions)})
    memory = Memory()
    dlas_ops.build(dlas_ops.lower(network, target(), algorithm=algorithm), target(), memory=memory)
    return memory


def test_weights_add_up_and_activations_take_turns() -> None:
    known = {count: memory_of(count) for count in (2, 3, 6)}
    assert [known[count].weights for count in (2, 3, 6)] == [count * weights_of(CONV).nbytes for count in (2, 3, 6)]
    assert 2 * MAP <= known[2].arena <= 3 * MAP, "what a layer reads and writes, and the output in its own layout"
    assert known[6].arena == known[3].arena == known[2].arena


def test_the_temporaries_of_the_largest_program_count_once() -> None:
    direct, gemm = memory_of(3), memory_of(3, "gemm")
    padded = 64 * 10 * 10 * 4
    assert direct.workspace + direct.thread_workspace >= padded, "the input with its border"
    assert memory_of(6) == Memory(2 * direct.weights, direct.arena, direct.workspace, direct.thread_workspace)
    columns = 9 * 64 * 4  # bytes of the matrix's column for one point
    assert gemm.workspace + gemm.thread_workspace >= columns


@pytest.mark.parametrize("algorithm", ["direct", "gemm", "winograd"])
def test_it_is_compiled_as_without_an_account(algorithm: str) -> None:
    lowered = dlas_ops.lower(repeated(), target(), algorithm=algorithm)
    image = np.ones(tuple(int(size) for size in lowered.module["main"].params[0].ty.shape), np.float32)
    one, other = (dlas_ops.build(lowered, target(), memory=memory).library for memory in (None, Memory()))
    assert np.array_equal(run_library(one, image), run_library(other, image))
