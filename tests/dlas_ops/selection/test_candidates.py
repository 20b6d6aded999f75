"""Candidates of a problem: by what they are named, on named processors."""

from __future__ import annotations

import pytest

from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import describe
from dlas_ops.selection import candidates
from tests.dlas_ops.named_targets import named

CONV = Conv(1, 40, 9, 9, 48, (3, 3), padding=(1, 1, 1, 1))


@pytest.mark.parametrize(("mcpu", "lanes"), [("x86-64-v2", 4), ("x86-64-v3", 8), ("znver4", 16)])
def test_names_say_algorithms_blocks_and_conversions(mcpu: str, lanes: int) -> None:
    target, whole = named(mcpu), -(-40 // lanes) * lanes
    assert candidates.blocks(40, describe(target)) == [lanes, whole]
    algorithms = ["direct/dense", "gemm/dense", "spatial_pack/dense", "winograd/dense"]
    assert candidates.names(Problem("conv2d", CONV), target) == algorithms
    assert candidates.names(Problem("conv2d", CONV, dtype="int8"), target) == algorithms[:3]
    assert candidates.names(Problem("max_pool2d", CONV), target) == [str(lanes), str(whole)]
    assert candidates.names(Problem("convert", CONV), target) == [f"{lanes}>{whole}", f"{whole}>{lanes}"]
    plain = [f"{lanes}>0", f"{lanes}>{whole}", f"{whole}>0", f"{whole}>{lanes}"]
    assert candidates.names(Problem("convert", CONV, plain=True), target) == plain


def test_sparse_candidates_bring_weights_of_their_density() -> None:
    found = candidates.programs(Problem("conv2d", CONV, format="csr", density=0.25), named("znver4"))
    assert list(found) == ["direct/csr", "gemm/csr", "spatial_pack/csr"]
    sizes = {len(program.weights[0]) for program in found.values()}
    assert max(sizes) / (48 * 40 * 9) == pytest.approx(0.25, rel=0.1)
    assert all(
        not program.weights for program in candidates.programs(Problem("conv2d", CONV), named("znver4")).values()
    )
