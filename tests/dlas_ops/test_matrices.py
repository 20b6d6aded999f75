"""Layers whose sums are matrices: integers exact, bfloat16 as vectors have it, whatever the shape, choice or thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle
from math import inf

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.kernels.scheduling import schedule_function, spaces
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import describe
from dlas_ops.schedule import matrix_tiling
from dlas_ops.selection import candidates
from tests.dlas_ops import assembly, matrices, test_bfloat16, test_int8
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.conftest import NETWORKS
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS, convolutions
from tests.dlas_ops.test_int8 import Case

INSTRUCTIONS = {"int8": "tdpbusd", "bfloat16": "tdpbf16ps"}
ALGORITHMS = ["direct", "gemm", "spatial_pack"]
CONVS = {
    "3x3 on a small map": Conv(1, 64, 8, 8, 48, (3, 3), padding=(1, 1, 1, 1)),
    "3x3, stride 2": Conv(2, 32, 15, 13, 32, (3, 3), (2, 2), (1, 1, 1, 1)),
    "1x1, 49 points": Conv(1, 96, 7, 7, 64, (1, 1)),
    "one output channel, a map of one column": Conv(2, 32, 7, 1, 1, (1, 1)),
    "a map of one point": Conv(1, 96, 5, 5, 1, (5, 5)),
    "no whole vectors of channels": Conv(1, 19, 9, 11, 40, (3, 3), padding=(1, 1, 1, 1)),
    "rows of a tile gathered one after the other": Conv(1, 32, 8, 29, 1, (1, 1), (1, 2), (0, 1, 2, 3)),
    "the network's input": Conv(1, 3, 17, 17, 32, (7, 7), (2, 2), (3, 3, 3, 3)),
}


@pytest.fixture(autouse=True, scope="module")
def wherever_they_can_be() -> Iterator[None]:
    """Take matrices for every sum that they hold, faster or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_tiling, "WORTH", inf)
        yield


@pytest.mark.parametrize(("kind", "algorithm"), crossed(CONVS, ALGORITHMS))
def test_integers_are_exact(kind: str, algorithm: str) -> None:
    Case(CONVS[kind]).check(algorithm, matrices.target_with("int8"))


@pytest.mark.parametrize(("kind", "algorithm"), crossed(CONVS, ALGORITHMS))
def test_bfloat16_is_summed_in_float32(kind: str, algorithm: str) -> None:
    test_bfloat16.check(CONVS[kind], algorithm, matrices.target_with("bfloat16"))


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str, examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(convolutions(algorithm), st.integers(0, 99), st.integers(0, 255), st.booleans())
    def cases(conv: Conv, seed: int, zero: int, relu: bool) -> None:
        Case(conv, seed, zero, relu).check(algorithm, matrices.target_with("int8"))
        test_bfloat16.check(conv, algorithm, matrices.target_with("bfloat16"))

    cases()


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_dense_layers(rows: int) -> None:
    target = matrices.target_with("int8")
    model, data, quantum = test_int8.dense_network(rows, 512, 40)
    compiled = dlas_ops.compile(model, target, algorithm="gemm", dtype="int8")
    test_int8.compare(model, data, quantum, networks.run(compiled, data))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_choice_computes_the_same(algorithm: str) -> None:
    target = matrices.target_with("int8")
    case = Case(CONVS["3x3 on a small map"])
    lowered = dlas_ops.lower(case.model, target, algorithm=algorithm, dtype="int8")
    tried = set()
    for program, space in spaces(lowered.module, target).items():
        # Tiles of matrices come first, the rule's before all; then those of vectors.
        assert set(space) == {"tile", "outer"}
        kinds = [len(tile) for tile in space["tile"]]
        assert kinds == sorted(kinds, reverse=True)
        assert set(kinds) == {3, 4}
        for tile, outer in zip(space["tile"][:: len(kinds) // 4], cycle(space["outer"]), strict=False):
            choice = {"tile": tile, "outer": outer}
            given_program = schedule_function(lowered.module[program], describe(target), choice)
            case.compare(
                networks.run_library(dlas_ops.build(lowered, target, {program: given_program}).library, case.data)
            )
            tried.add(len(tile))
    assert tried == {3, 4}


@pytest.mark.parametrize("dtype", INSTRUCTIONS)
def test_candidates_are_timed_with_evicted_caches(dtype: str) -> None:
    """There a program is one of two branches, and begins in its own."""
    conv = Conv(2, 20, 9, 11, 20, (3, 3), (2, 1), (1, 0, 1, 2))
    built = candidates.build([Problem("conv2d", conv, False, dtype, "dense", 1.0)], matrices.target_with(dtype))
    [timed] = candidates.time_here(built, 1 << 20, tvm.cpu())
    assert list(timed) == [f"{algorithm}/dense" for algorithm in ALGORITHMS]
    assert all(seconds > 0 for seconds in timed.values())


@pytest.mark.skipif(matrices.are_real(), reason="only instructions that are computed in software are counted")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_as_many_products_as_the_layer_needs(algorithm: str) -> None:
    """Of 64 x 64 channels and 8 x 8 points, nine times: a matrix is 16 points, 16 channels and 64 bytes of groups."""
    target = matrices.target_with("int8")
    conv = Conv(1, 64, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))
    before = matrices.counts()
    Case(conv).check(algorithm, target)
    done = {name: count - before[name] for name, count in matrices.counts().items()}
    assert done["begin"] == done["end"] > 0
    products = (9 + 1) * 4 * 4  # the second layer is pointwise
    # direct takes the 8 points of a row at a time, and spatial_pack 16 channels.
    most = {"direct": 2, "gemm": 1, "spatial_pack": 8}[algorithm]
    assert products <= done["multiply"] <= products * most


@pytest.mark.parametrize("dtype", INSTRUCTIONS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_of_each_loaded_matrix_there_are_two_products(algorithm: str, dtype: str) -> None:
    text = text_of(algorithm, dtype)
    products = text.count(f"\t{INSTRUCTIONS[dtype]}\t")
    # A tile is two matrices of points by two of channels.
    assert products > 0
    assert products % 4 == 0
    assert text.count("\ttileloadd\t") == products
    for name in ("ldtilecfg", "tilerelease", "tilestored"):
        assert name in text


@pytest.mark.parametrize("dtype", INSTRUCTIONS)
def test_the_innermost_loop_has_no_vectors(dtype: str) -> None:
    """Of gemm: LLVM unrolls those of the others, whose reductions are of known rows and columns of the kernel."""
    loops = [loop.instructions for loop in assembly.innermost_loops(text_of("gemm", dtype))]
    hot = [loop for loop in loops if any(line.startswith(INSTRUCTIONS[dtype]) for line in loop)]
    assert hot
    for loop in hot:
        assert sum("tmm" in line for line in loop) == 8
        assert not any(re.search(r"%[xyz]mm", line) for line in loop)
        assert len(loop) <= 18


def text_of(algorithm: str, dtype: str) -> str:
    conv, target = Conv(1, 256, 16, 16, 64, (3, 3), padding=(1, 1, 1, 1)), named("sapphirerapids")
    network = Case(conv).model if dtype == "int8" else test_bfloat16.network_of(conv)
    return assembly.text_of(dlas_ops.compile(network, target, algorithm=algorithm, dtype=dtype).library)


@pytest.mark.parametrize(
    ("dtype", "words"), [("int8", "int8, in matrices"), ("bfloat16", "bfloat16 (sums in float32), in matrices")]
)
def test_the_account_says_what_is_summed_in_them(dtype: str, words: str) -> None:
    """So it is where the schedule takes their tiles, by the rule or as tuned."""
    conv = CONVS["3x3 on a small map"]
    model = Case(conv).model if dtype == "int8" else test_bfloat16.network_of(conv)
    for mcpu, expected in (("sapphirerapids", words), ("znver4", words.removesuffix(", in matrices"))):
        target = named(mcpu)
        lowered = dlas_ops.lower(model, target, algorithm="direct", dtype=dtype)
        program = lowered.layers[0].program
        assert dlas_ops.build(lowered, target).layers[0].arithmetic == expected
    lowered = dlas_ops.lower(model, named("sapphirerapids"), algorithm="direct", dtype=dtype)
    space = spaces(lowered.module, named("sapphirerapids"))[program]
    choice = {name: values[-1] for name, values in space.items()}
    tuned = schedule_function(lowered.module[program], describe(named("sapphirerapids")), choice)
    built = dlas_ops.build(lowered, named("sapphirerapids"), {program: tuned})
    assert built.layers[0].arithmetic == words.removesuffix(", in matrices")


def test_a_processor_without_them_has_none() -> None:
    compiled = dlas_ops.compile(Case(CONVS["1x1, 49 points"]).model, named("znver4"), algorithm="gemm", dtype="int8")
    assert "tmm" not in assembly.text_of(compiled.library)


def test_vectors_and_matrices_agree_to_the_bit() -> None:
    target = matrices.target_with("int8")
    case = Case(Conv(1, 128, 14, 14, 128, (3, 3), padding=(1, 1, 1, 1)))
    by_matrices, by_vectors = (
        networks.run(dlas_ops.compile(case.model, each, algorithm="gemm", dtype="int8"), case.data)
        for each in (target, named("cascadelake"))
    )
    np.testing.assert_array_equal(by_matrices, by_vectors)


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_whole_networks_agree_to_the_bit(algorithm: str, name: str, exported: dict[str, onnx.ModelProto]) -> None:
    images = networks.random((8, 3, 32, 32))
    target, model = matrices.target_with("int8"), dlas_ops.quantize(exported[name], images)
    by_matrices, by_vectors = (
        networks.run(dlas_ops.compile(model, each, algorithm=algorithm, dtype="int8"), images[:1])
        for each in (target, named("cascadelake"))
    )
    np.testing.assert_array_equal(by_matrices, by_vectors)
