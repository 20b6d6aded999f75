"""Every algorithm's schedule for GPUs, and those of what it falls back to, against the NumPy reference."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import opencl
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.reference_checks import case, compare
from tests.dlas_ops.shapes import SETTINGS, convolutions
from tests.dlas_ops.test_int8 import CONVS, Case

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
# Of int8, what every run of the tests has.
QUICK = [
    *(("conv2d", *each) for each in zip(["direct", "gemm", "spatial_pack"], opencl.FAMILIES, strict=True)),
    ("depthwise_conv2d", "direct", "mali"),
]
# Cases that a test draws: every time, and nightly. PoCL takes some seconds to compile one.
EXAMPLES = [2, pytest.param(50, marks=pytest.mark.nightly)]


def check(conv: Conv, algorithm: str, blocked: bool, device: str, dtype: str = "float32") -> None:
    network, data, expected = case(conv, blocked)
    target = opencl.target(device)
    lowered = dlas_ops.lower(network, target, algorithm=algorithm, dtype=dtype)
    compare(opencl.run(lowered, target, data), expected, conv, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "device"), crossed(ALGORITHMS, opencl.FAMILIES))
@pytest.mark.parametrize("examples", EXAMPLES)
def test_drawn_shapes(algorithm: str, device: str, examples: int) -> None:
    opencl.device()

    @settings(SETTINGS, max_examples=examples)
    @given(convolutions(algorithm), st.booleans())
    def cases(conv: Conv, blocked: bool) -> None:
        check(conv, algorithm, blocked, device)

    cases()


@pytest.mark.parametrize(
    ("kind", "algorithm", "device"),
    [
        pytest.param(*each, marks=[] if each in QUICK else pytest.mark.nightly)
        for each in product(CONVS, ["direct", "gemm", "spatial_pack"], opencl.FAMILIES)
    ],
)
def test_int8_is_exact(kind: str, algorithm: str, device: str) -> None:
    case, target = Case(CONVS[kind]), opencl.target(device)
    lowered = dlas_ops.lower(case.model, target, algorithm=algorithm, dtype="int8")
    case.compare(opencl.run(lowered, target, case.data))
    assert {layer.dtype for layer in lowered.layers} == {"int8"}
