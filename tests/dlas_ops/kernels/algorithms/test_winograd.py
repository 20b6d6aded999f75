"""Winograd convolution: the transforms, the error that they add, the variant by shape and what cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops.kernels.algorithms import winograd
from dlas_ops.kernels.shared import reference, winograd_plan
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.winograd_transforms import POINTS
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.reference_checks import check
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS, conv3x3, convolutions
from tests.dlas_ops.tensor_programs import program, ran, scheduled


def only(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no choice but m x m outputs per tile."""
    monkeypatch.setattr(winograd_plan, "POINTS", {m: POINTS[m]})


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("m", POINTS)
def test_drawn_shapes(m: int, examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    only(m, monkeypatch)

    @settings(SETTINGS, max_examples=examples)
    @given(convolutions("winograd"), st.booleans())
    def cases(conv: Conv, blocked: bool) -> None:
        check(conv, "winograd", blocked)

    cases()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [16, pytest.param(64, marks=pytest.mark.nightly), 512])
@pytest.mark.parametrize(("m", "bound"), winograd.ERROR.items())
def test_the_error_stays_within_the_stated_bound(
    m: int, bound: float, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(m, monkeypatch)
    conv = conv3x3(channels, 16, 64)
    weight, data = networks.weights_of(conv), networks.random(networks.shape_of(conv))
    network = networks.one_layer(conv, weight)
    actual = networks.run(dlas_ops.compile(network, networks.target(), algorithm="winograd"), data)
    networks.assert_close(actual, reference.conv2d(data, weight, conv), bound)


@pytest.mark.slow
@pytest.mark.parametrize(("m", "channels", "derived"), crossed(winograd.ERROR, [16, 512], ["4", "a vector"]))
def test_reads_nine_elements_of_a_kernel_and_computes_the_others(
    m: int, channels: int, derived: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(m, monkeypatch)
    conv, cpu = conv3x3(channels, 8, 32), describe(networks.target())
    count = cpu.lanes() if derived == "a vector" else int(derived)
    weight, data = networks.weights_of(conv), networks.random(networks.shape_of(conv))
    packed = winograd.pack(weight, conv, cpu)
    packed[:, 2:-1] = packed[:, :, 2:-1] = np.nan  # whoever reads one of these is found out
    function = program(networks.target(), conv, "winograd/dense")
    bias = np.zeros([int(size) for size in function.params[2].ty.shape], np.float32)
    blocked = data.reshape(1, -1, cpu.lanes(), *data.shape[2:]).transpose(0, 1, 3, 4, 2)
    found = ran(
        scheduled(function, networks.target(), {"derived": count}), [np.ascontiguousarray(blocked), packed, bias]
    )
    actual = found.transpose(0, 1, 4, 2, 3).reshape(conv.batch, -1, conv.out_height, conv.out_width)
    expected = reference.conv2d(data, weight, conv)
    networks.assert_close(actual, np.maximum(expected, 0), winograd.ERROR[m])


@pytest.mark.parametrize(
    ("conv", "word"),
    [
        (Conv(1, 8, 9, 9, 8, (3, 3), (2, 2)), "stride"),
        (Conv(1, 8, 9, 9, 8, (3, 3), dilation=(2, 2)), "dilation"),
        (Conv(1, 8, 9, 9, 8, (5, 5)), "5x5"),
        (Conv(1, 8, 9, 9, 8, (1, 3)), "1x3"),
        (Conv(1, 8, 9, 9, 8, (3, 3), groups=2), "grouped"),
    ],
)
def test_says_what_it_cannot_do(conv: Conv, word: str) -> None:
    assert word in str(winograd.supports(conv, networks.target()))


def test_falls_back_and_the_account_shows_both() -> None:
    strided, plain = Conv(1, 8, 9, 9, 16, (3, 3), (2, 2)), Conv(1, 16, 4, 4, 8, (3, 3))
    weights = {"strided.weight": networks.weights_of(strided), "plain.weight": networks.weights_of(plain, 1)}
    nodes = [
        networks.conv_node(strided, ["x", "strided.weight"], "a"),
        helper.make_node("Relu", ["a"], ["b"]),
        networks.conv_node(plain, ["b", "plain.weight"], "y"),
    ]
    data = networks.random(networks.shape_of(strided))
    compiled = dlas_ops.compile(networks.model(nodes, data.shape, weights), networks.target(), algorithm="winograd")
    first, second = compiled.layers
    assert (first.asked, first.ran) == ("winograd/dense", "spatial_pack/dense")
    assert "stride" in first.reason
    assert (second.asked, second.ran, second.reason) == ("winograd/dense", "winograd/dense", "")
    middle = np.maximum(reference.conv2d(data, weights["strided.weight"], strided), 0)
    networks.assert_close(networks.run(compiled, data), reference.conv2d(middle, weights["plain.weight"], plain), 1e-5)
