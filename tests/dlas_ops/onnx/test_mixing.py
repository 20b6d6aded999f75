"""Mixed networks have 8 bits where they are asked to, and compute what ONNX says; a harm is of one layer alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

import dlas_ops
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.onnx.test_quantization import digits, mixer, network, run

LAYERS = ("w", "v", "dense")


@cache
def quantized() -> onnx.ModelProto:
    images, _ = digits()
    return dlas_ops.quantize(network(), images[:32])


def test_with_every_layer_it_is_the_quantized_network() -> None:
    assert dlas_ops.quantized_layers(quantized()) == LAYERS
    assert dlas_ops.mixed(network(), quantized(), LAYERS) == quantized()
    images = networks.random((16, 1, 8, 8))
    tokens = dlas_ops.quantize(mixer(), images)
    assert dlas_ops.quantized_layers(tokens) == ("stem", "up", "down")
    assert dlas_ops.mixed(mixer(), tokens, ("stem", "up", "down")) == tokens


@pytest.mark.parametrize("chosen", [("w",), ("v",), ("dense",), ("w", "v"), ("w", "dense")], ids="+".join)
@pytest.mark.parametrize("algorithm", ["direct", "spatial_pack"])
def test_chosen_layers_compute_with_integers_and_the_others_with_floats(
    chosen: tuple[str, ...], algorithm: str
) -> None:
    images, _ = digits()
    mixed = dlas_ops.mixed(network(), quantized(), chosen)
    onnx.checker.check_model(mixed, full_check=True)
    compiled = dlas_ops.compile(mixed, networks.target(), algorithm=algorithm, dtype="int8")
    stored = {layer.name: layer.dtype for layer in compiled.layers if layer.weight}
    assert stored == {layer: "int8" if layer in chosen else "float32" for layer in LAYERS}
    (pool,) = (layer for layer in compiled.layers if not layer.weight)
    assert pool.dtype == ("int8" if "v" in chosen and "dense" in chosen else "float32")  # between two on integers
    for image in images[-4:]:
        networks.assert_close(run(compiled, image[None]), networks.run_reference(mixed, image[None]), 0.02)


def test_a_harm_is_what_one_layer_alone_does_to_the_output() -> None:
    images, _ = digits()
    found = dlas_ops.harms(network(), quantized(), images[:6])
    assert tuple(found) == LAYERS
    exact = np.concatenate([networks.run_reference(network(), image[None]) for image in images[:6]])
    signal = ((exact - exact.mean(1, keepdims=True)) ** 2).sum()
    for layer, harm in found.items():
        alone = dlas_ops.mixed(network(), quantized(), (layer,))
        apart = np.concatenate([networks.run_reference(alone, image[None]) for image in images[:6]]) - exact
        assert harm == pytest.approx((apart**2).sum() / signal, rel=0.05)
        assert harm > 0


def test_harms_of_tokens_and_of_shared_weights() -> None:
    images = networks.random((8, 1, 8, 8))
    tokens = dlas_ops.quantize(mixer(), images)
    found = dlas_ops.harms(mixer(), tokens, images[:2])
    assert set(found) == {"stem", "up", "down"}
    assert all(0 < harm < 0.1 for harm in found.values())
