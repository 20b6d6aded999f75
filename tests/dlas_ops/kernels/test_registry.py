"""What is asked of layers: names, formats, and what each layer gets."""

from __future__ import annotations

import json
import sys

import pytest

from dlas_ops.kernels.registry import Asked, Choices, Selection, fitting, implemented, names, selects
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops.named_targets import named

SELECTED = Selection("auto/dense", {"": "direct/dense", "a": "gemm/dense"}, {"a": {"gemm/dense": 1e-3}}, 1e-3)


def test_names_are_the_files() -> None:
    assert names() == ["auto", "direct", "gemm", "spatial_pack", "winograd"]
    assert implemented() == [name for name in names() if not selects(name)] == names()[1:]


@pytest.mark.parametrize(
    ("algorithm", "format", "message"),
    [
        ("fft", "dense", "unknown algorithm 'fft'; there are auto, direct, gemm, spatial_pack, winograd"),
        ("direct", "coo", "unknown format 'coo'; there are dense, csr"),
    ],
)
def test_what_there_is_not_is_refused(algorithm: str, format: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Asked(algorithm, format)


def test_a_format_can_be_in_the_name() -> None:
    assert str(Asked.parse("gemm/csr")) == "gemm/csr"
    assert str(Asked.parse("gemm", "csr")) == "gemm/csr"
    assert Asked.parse("gemm/csr").module is sys.modules["dlas_ops.kernels.sparse.gemm"]
    assert Asked.parse("winograd/csr").module is sys.modules["dlas_ops.kernels.algorithms.winograd"]


def test_a_format_that_is_not_implemented_says_so() -> None:
    conv = Conv(1, 8, 9, 9, 8, (3, 3))
    assert "does not implement format csr" in str(Asked("winograd", "csr").why_not(conv, "float32", named("znver4")))
    assert "does not implement int8" in str(Asked("winograd").why_not(conv, "int8", named("znver4")))
    fit = fitting(conv, named("znver4"), "csr", "float32")
    assert [asked.algorithm for asked in fit] == [
        "direct",
        "gemm",
        "spatial_pack",
    ]


def test_layers_get_what_is_asked_for_them() -> None:
    choices = Choices({"a": "gemm/csr"})
    assert (str(choices.of("a")), str(choices.of("b"))) == ("gemm/csr", "spatial_pack/dense")
    assert str(Choices("direct", "csr").of("any")) == "direct/csr"
    selected = Choices(SELECTED)
    assert (str(selected.of("a")), selected.of("a").selected_by) == ("gemm/dense", "auto/dense")
    assert str(selected.of("b")) == "direct/dense"
    assert Selection.from_json(json.loads(json.dumps(SELECTED.to_json()))) == SELECTED
    with pytest.raises(ValueError, match="selects by measuring"):
        Choices("auto")
