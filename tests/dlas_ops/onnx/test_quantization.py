"""Calibration: a trained digits network and its int8 form agree, scales hold what was observed, misuse is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

import dlas_ops
from dlas_ops import compiler
from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.onnx import calibration, folding
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks

FIRST = Conv(1, 1, 8, 8, 24, (3, 3), padding=(1, 1, 1, 1))
SECOND = Conv(1, 24, 8, 8, 32, (3, 3), (2, 2), (1, 1, 1, 1))
CALIBRATION = 64
Labels = NDArray[np.int64]


@cache
def digits() -> tuple[networks.Array, Labels]:
    """Return scikit-learn's handwritten digits in random order: 8x8 images and labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    return (images[order].reshape(-1, 1, 8, 8) / 16).astype(np.float32), labels[order]


@cache
def network() -> onnx.ModelProto:
    """Return two random convolutions with batch norms, and a dense layer fitted to half of the digits.

    Random features and a least-squares classifier: as accurate as it needs to be, and quick.
    """
    weights: dict[str, Any] = {"w": networks.weights_of(FIRST), "v": networks.weights_of(SECOND, 1) / 8}
    for layer, conv in (("1", FIRST), ("2", SECOND)):
        for seed, name in enumerate("abmv"):
            drawn = networks.random([conv.out_channels], seed) / 4
            weights[f"{name}{layer}"] = np.abs(drawn) + 0.5 if name in "av" else drawn
    nodes = [
        networks.conv_node(FIRST, ["x", "w"], "c"),
        helper.make_node("BatchNormalization", ["c", "a1", "b1", "m1", "v1"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        networks.conv_node(SECOND, ["r", "v"], "d"),
        helper.make_node("BatchNormalization", ["d", "a2", "b2", "m2", "v2"], ["o"]),
        helper.make_node("Relu", ["o"], ["s"]),
        helper.make_node("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
    ]
    images, labels = digits()
    half = len(images) // 2
    features = outputs(networks.model(nodes, (1, 1, 8, 8), weights, "f"), images[:half])
    filled = np.hstack([features, np.ones((half, 1), np.float32)])
    fitted = np.linalg.solve(filled.T @ filled + 0.1 * np.eye(filled.shape[1]), filled.T @ np.eye(10)[labels[:half]])
    weights |= {"dense": fitted[:-1].astype(np.float32), "bias": fitted[-1].astype(np.float32)}
    nodes.append(helper.make_node("Gemm", ["f", "dense", "bias"], ["y"]))
    return networks.model(nodes, (1, 1, 8, 8), weights)


def outputs(model: onnx.ModelProto, images: networks.Array, **options: Any) -> networks.Array:
    """Compile `model` and return its output for every image."""
    return run(dlas_ops.compile(model, networks.target(), algorithm="spatial_pack", **options), images)


def run(compiled: dlas_ops.Compiled, images: networks.Array) -> networks.Array:
    machine = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())
    return np.concatenate([machine["main"](tvm.runtime.tensor(image[None])).numpy() for image in images])


@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack"])
def test_int8_classifies_as_float32_does(algorithm: str) -> None:
    images, labels = digits()
    half = len(images) // 2
    compiled = dlas_ops.compile(
        network(), networks.target(), algorithm=algorithm, dtype="int8", calibration=images[:CALIBRATION]
    )
    assert [(layer.operator, layer.dtype) for layer in compiled.layers] == [
        ("conv2d", "int8"), ("conv2d", "int8"), ("max_pool2d", "int8"), ("dense", "int8"),
    ]  # fmt: skip
    assert [layer.name for layer in compiled.layers if layer.weight] == ["w", "v", "dense"]
    expected = outputs(network(), images[half:])
    actual = run(compiled, images[half:])
    accuracy = [float((scores.argmax(1) == labels[half:]).mean()) for scores in (expected, actual)]
    assert accuracy[0] > 0.9
    assert accuracy[1] > accuracy[0] - 0.02
    assert (actual.argmax(1) == expected.argmax(1)).mean() > 0.97


def test_the_quantized_network_is_onnx_and_runs_as_its_operators_say() -> None:
    images, _ = digits()
    quantized = dlas_ops.quantize(network(), images[:CALIBRATION])
    onnx.checker.check_model(quantized, full_check=True)
    assert not {"BatchNormalization"} & {node.op_type for node in quantized.graph.node}
    compiled = dlas_ops.compile(quantized, networks.target(), algorithm="direct")
    for image in images[-8:]:
        expected = networks.run_reference(quantized, image[None])
        # The output is not quantized: its sums are exact, and one quantum of the features may differ.
        networks.assert_close(networks.run(compiled, image[None]), expected, 0.02)


def test_ranges_are_what_was_observed() -> None:
    images, _ = digits()
    folded = folding.fold_batch_norms(network())
    whole = calibration.observe(folded, ["x", "r", "s"], images[:CALIBRATION], compiler._runner)
    assert whole["x"] == (0.0, 1.0)
    first = networks.model([*network().graph.node[:3]], (1, 1, 8, 8), weights_of(network()), "r")
    reached = outputs(first, images[:CALIBRATION])
    np.testing.assert_allclose(whole["r"], (0, reached.max()), rtol=1e-5)
    part = calibration.observe(folded, ["x", "r", "s"], images[:CALIBRATION], compiler._runner, percentile=99.0)
    exact = float(np.percentile(reached, 99.5))
    assert part["r"][1] == pytest.approx(exact, abs=2 * float(reached.max()) / calibration.BINS)
    assert part["s"][1] < whole["s"][1]


def weights_of(model: onnx.ModelProto) -> dict[str, Any]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_folded_batch_norms_compute_the_same() -> None:
    images, _ = digits()
    folded = folding.fold_batch_norms(network())
    networks.assert_close(outputs(folded, images[:10]), outputs(network(), images[:10]), 1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "int8 needs calibration images, or a QDQ model"),
        (
            np.zeros((0, 1, 8, 8), np.float32),
            r"images are \(0, 1, 8, 8\); the network takes \(1, 1, 8, 8\)",
        ),
        (np.zeros((4, 3, 8, 8), np.float32), r"calibration images are \(4, 3, 8, 8\)"),
    ],
)
def test_says_what_is_missing(images: networks.Array | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dlas_ops.compile(network(), networks.target(), algorithm="direct", dtype="int8", calibration=images)


def test_refuses_to_quantize_twice() -> None:
    images, _ = digits()
    quantized = dlas_ops.quantize(network(), images[:1])
    with pytest.raises(ValueError, match="quantized already"):
        dlas_ops.quantize(quantized, images[:1])


def mixer() -> onnx.ModelProto:
    """Return patches as tokens, their norm, dense layers around a GELU, a shortcut and a product of activations."""
    conv = Conv(1, 1, 8, 8, 32, (2, 2), (2, 2))
    nodes = [
        networks.conv_node(conv, ["x", "stem"], "c"),
        helper.make_node("Reshape", ["c", "tokens"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        helper.make_node("LayerNormalization", ["t", "one", "none"], ["n"], axis=-1),
        helper.make_node("MatMul", ["n", "up"], ["u"]),
        helper.make_node("Add", ["u", "u bias"], ["ub"]),
        helper.make_node("Gelu", ["ub"], ["g"]),
        helper.make_node("MatMul", ["g", "down"], ["d"]),
        helper.make_node("Add", ["d", "d bias"], ["db"]),
        helper.make_node("Add", ["t", "db"], ["s"]),
        helper.make_node("Transpose", ["s"], ["st"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["s", "st"], ["y"]),
    ]
    weights: dict[str, Any] = {
        "stem": networks.weights_of(conv), "tokens": np.array([1, 32, 16]), "one": np.ones(32, np.float32),
        "none": np.zeros(32, np.float32), "up": networks.random((32, 48)) / 6, "u bias": networks.random((48,)),
        "down": networks.random((48, 32)) / 7, "d bias": networks.random((32,)),
    }  # fmt: skip
    return networks.model(nodes, networks.shape_of(conv), weights)


def test_tokens_stay_floats_but_where_weights_multiply_them() -> None:
    """A dense layer takes in the bias that is added after it; shortcuts and products of activations are left."""
    images = networks.random((16, 1, 8, 8))
    quantized = dlas_ops.quantize(mixer(), images)
    onnx.checker.check_model(quantized, full_check=True)
    pairs = {node.input[0] for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    assert pairs == {"x", "c", "r", "n", "g"}
    scales = {name: array for name, array in weights_of(quantized).items() if name.endswith("_scale")}
    assert scales["up_scale"].shape == (48,)
    assert scales["down_scale"].shape == (32,)
    compiled = dlas_ops.compile(quantized, networks.target(), algorithm="direct")
    assert [(layer.name, layer.ran, layer.dtype) for layer in compiled.layers] == [
        ("stem", "direct/dense", "int8"), ("layer_norm_0", "general", "float32"), ("up", "gemm/dense", "int8"),
        ("down", "gemm/dense", "int8"), ("matmul_0", "gemm/dense", "float32"),
    ]  # fmt: skip
    bytes_each = np.dtype(dot_of("int8", describe(networks.target())).weight).itemsize
    assert [layer.stored_bytes for layer in compiled.layers[2:4]] == [32 * 48 * bytes_each] * 2
    networks.assert_close(run(compiled, images[:1]), networks.run_reference(quantized, images[:1]), 0.01)
    networks.assert_close(run(compiled, images), outputs(mixer(), images), 0.05)


def test_a_network_without_anything_to_quantize_is_refused() -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["y"])]
    with pytest.raises(ValueError, match="none of the network's operators runs on 8-bit integers: Softmax"):
        dlas_ops.quantize(networks.model(nodes, (1, 5, 8), {}), networks.random([4, 5, 8]))


@pytest.mark.parametrize("before", [[], [helper.make_node("Conv", ["x", "first"], ["c"])]], ids=["alone", "behind"])
def test_transposed_convolutions_have_integer_weights(before: list[onnx.NodeProto]) -> None:
    nodes = [*before, helper.make_node("ConvTranspose", ["c" if before else "x", "w"], ["y"], strides=[2, 2])]
    weights = {"first": networks.random([6, 6, 1, 1])} if before else {}
    model = networks.model(nodes, (1, 6, 5, 5), {**weights, "w": networks.random([6, 4, 2, 2])})
    quantized = dlas_ops.quantize(model, networks.random([4, 6, 5, 5]))
    assert {"w_quantized"} <= {tensor.name for tensor in quantized.graph.initializer}
