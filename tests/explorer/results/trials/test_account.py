"""Accounts of networks, and the shares of their work that the choices apply to."""

from __future__ import annotations

import json

import pytest

from dlas_ops.placement.account import Layer
from explorer.results.trials.account import LayerAccount, Share, can_ask, coverage_of


def layer(asked: str, ran: str, macs: int, reason: str = "", dtype: str = "float32", nonzeros: int = 8) -> LayerAccount:
    made = Layer(
        "w", "conv2d", (), (4, 2), (), asked, ran, reason=reason, dtype=dtype, macs=macs, nonzeros=nonzeros
    ).to_json()
    plain: LayerAccount = json.loads(json.dumps(made))
    return plain


def test_every_product_is_as_asked_or_not_or_nothing_could_be_asked() -> None:
    layers = [
        layer("gemm/csr", "gemm/csr", 100, nonzeros=2),
        layer("gemm/csr", "gemm/dense", 200, "no csr", "int8"),
        layer("depthwise/dense", "depthwise/dense", 300),
        layer("dense", "dense", 400, dtype="float16"),
    ]
    found = coverage_of(layers)
    assert found is not None
    assert (found.macs, found.weights) == (1000, 32)
    assert (found.as_asked, found.not_as_asked, found.nothing_asked) == (
        Share(0.1, 0.25), Share(0.2, 0.25), Share(0.7, 0.5)
    )  # fmt: skip
    assert found.narrowed == Share(0.6, 0.5)
    assert found.pruned.macs == pytest.approx(0.075)
    assert found.pruned.weights == pytest.approx(6 / 32)


def test_there_is_nothing_to_cover_without_arithmetic() -> None:
    assert coverage_of([]) is None
    assert coverage_of([layer("window", "window", 0)]) is None


def test_it_agrees_with_the_compiler_on_what_could_be_asked() -> None:
    for asked, ran in (("gemm/dense", "gemm/dense"), ("winograd/csr", "grouped/dense"), ("dense", "dense"),
                       ("grouped/dense", "grouped/dense")):  # fmt: skip
        assert can_ask(layer(asked, ran, 1)) == Layer("w", "conv2d", (), (), (), asked, ran).can_ask
    assert not can_ask(layer("gemm/dense", "depthwise/dense", 1, "groups")), "as earlier versions wrote it"
