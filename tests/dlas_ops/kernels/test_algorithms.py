"""Every algorithm, and the schedules it falls back to, against the NumPy reference over drawn shapes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.reference_checks import TOLERANCES, check
from tests.dlas_ops.shapes import EXAMPLES, KINDS, SETTINGS, convolutions

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    "conv",
    [
        Conv(1, 4, 1, 1, 2, (1, 1), groups=2),
        Conv(3, 1, 3, 14, 1, (7, 6), padding=(3, 0, 1, 2), dilation=(1, 3)),
    ],
)
def test_shapes_that_once_failed(conv: Conv, dtype: str) -> None:
    check(conv, "gemm", False, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str, examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(convolutions(algorithm), st.booleans())
    def cases(conv: Conv, blocked: bool) -> None:
        check(conv, algorithm, blocked)

    cases()


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_drawn_shapes(algorithm: str) -> None:
    @settings(SETTINGS, max_examples=2000, derandomize=False)
    @given(convolutions(algorithm), st.booleans(), st.sampled_from(["float32", "float32", "float32", "float16"]))
    def cases(conv: Conv, blocked: bool, dtype: str) -> None:
        check(conv, algorithm, blocked, dtype)

    cases()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_drawn_shapes_are_of_all_kinds(algorithm: str) -> None:
    drawn: list[Conv] = []

    @settings(SETTINGS, max_examples=500)
    @given(convolutions(algorithm))
    def collect(conv: Conv) -> None:
        drawn.append(conv)

    collect()
    found = Counter(kind for conv in drawn for kind, is_of in KINDS.items() if is_of(conv))
    assert {kind: found[kind] for kind in KINDS if found[kind] < len(drawn) / 50} == {}
    ran = [conv for conv in drawn if Asked(algorithm).module.supports(conv, networks.target()) is None]
    assert len(ran) > len(drawn) / 3
