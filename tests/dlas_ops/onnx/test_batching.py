"""A network for one image, for several at once: the same image by image, in NumPy; what mixes images is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.onnx.batching import with_batch
from tests.dlas_ops import small_networks as networks

CONV = Conv(1, 3, 6, 6, 8, (3, 3), padding=(1, 1, 1, 1))


def network(*nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """Return a network of a convolution to "c" and `nodes` from there to "y"."""
    weights = {"w": networks.weights_of(CONV), **{name: np.asarray(value) for name, value in constants.items()}}
    return networks.model([networks.conv_node(CONV, ["x", "w"], "c"), *nodes], networks.shape_of(CONV), weights)


def node(operator: str, inputs: Sequence[str], output: str | Sequence[str] = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output] if isinstance(output, str) else output, **attributes)


def stated(sizes: Sequence[int]) -> onnx.NodeProto:
    """Return a Constant operator to "s", as other exporters write a shape."""
    return node("Constant", [], "s", value=numpy_helper.from_array(np.array(sizes)))


def assert_the_same_image_by_image(model: onnx.ModelProto, batch: int = 3) -> None:
    before = model.SerializeToString()
    several = with_batch(model, batch)
    assert model.SerializeToString() == before, "the network that was given stays what it was"
    onnx.checker.check_model(several, full_check=True)
    data = networks.random((batch, *networks.shape_of(CONV)[1:]))
    expected = np.concatenate([networks.run_reference(model, image[None]) for image in data])
    actual = networks.run_reference(several, data)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    [output] = several.graph.output
    assert [size.dim_value for size in output.type.tensor_type.shape.dim] == list(expected.shape)


@pytest.mark.parametrize(
    "model",
    [
        network(node("GlobalAveragePool", ["c"], "m"), node("Reshape", ["m", "s"]), s=[1, 8]),
        network(node("GlobalAveragePool", ["c"], "m"), stated([1, -1]), node("Reshape", ["m", "s"])),
        network(node("Reshape", ["c", "s"]), s=[-1, 288]),
        network(node("Reshape", ["c", "s"]), s=[0, 8, 36]),
        network(node("Reshape", ["c", "s"]), s=[8, -1]),  # eight rows for an image
        network(node("Flatten", ["c"])),
        # Channels shuffled between two groups, by one shape for both ways.
        network(
            node("Reshape", ["c", "s"], "g"), node("Transpose", ["g"], "t", perm=[0, 2, 1, 3, 4]),
            node("Reshape", ["t", "back"], "u"), node("Reshape", ["u", "s"]), s=[1, 2, 4, 6, 6], back=[1, 8, 6, 6],
        ),
        # All points of an image as rows of a matrix, which several images lengthen.
        network(
            node("Transpose", ["c"], "t", perm=[0, 2, 3, 1]), node("Reshape", ["t", "s"], "r"),
            node("MatMul", ["r", "d"], "m"), node("Reshape", ["m", "back"]),
            s=[36, 8], d=networks.random((8, 5)), back=[1, 6, 6, 5],
        ),
        # As many rows an image as weights for a sum: the weights are no rows of an image.
        network(
            node("Slice", ["c", "begin", "end", "channels"], "o"), node("Reshape", ["o", "s"], "r"),
            node("MatMul", ["r", "d"]), begin=[0], end=[1], channels=[1], s=[6, 6], d=networks.random((6, 5)),
        ),
        network(node("Resize", ["c", "", "", "s"]), s=[1, 8, 12, 12]),
        network(node("Add", ["c", "a"]), a=networks.random((1, 8, 6, 6))),
        network(node("Expand", ["c", "s"]), s=[1, 8, 6, 6]),
        network(node("Softmax", ["c"], axis=1)),
        network(node("ReduceMean", ["c", "axes"], keepdims=0), axes=[-1, -2]),
        # A token that is joined to each image's own.
        network(node("Concat", ["c", "token"], axis=1), token=networks.random((1, 2, 6, 6))),
        # Four windows of 3x3 points: a mask for each, and a bias for all that is itself computed.
        network(
            node("Reshape", ["c", "s"], "r"), node("Transpose", ["r"], "t", perm=[0, 2, 4, 1, 3, 5]),
            node("Reshape", ["t", "rows"], "n"), node("Reshape", ["bias", "one"], "b"), node("Add", ["n", "b"], "a"),
            node("Add", ["a", "mask"], "m"), node("Where", ["hides", "m", "low"], "h"), node("Softmax", ["h"], axis=1),
            s=[1, 8, 2, 3, 2, 3], rows=[4, 8, 9], one=[1, 8, 9], bias=networks.random((72,)),
            mask=networks.random((4, 1, 9)), hides=networks.random((4, 8, 1)) > 0, low=np.float32(-9),
        ),
        # Queries, keys and values first, then images: attention as timm and torch write it.
        network(
            node("Reshape", ["c", "s"], "r"), node("Transpose", ["r"], "t", perm=[1, 0, 2, 3]),
            node("Split", ["t"], ["q", "k"], num_outputs=2), node("Squeeze", ["q", "first"], "q1"),
            node("Slice", ["k", "first", "end", "first"], "k1"), node("Squeeze", ["k1", "first"], "k2"),
            node("Transpose", ["k2"], "k3", perm=[0, 2, 1]), node("MatMul", ["q1", "k3"], "p"),
            node("Unsqueeze", ["p", "first"], "u"), node("Squeeze", ["u", "first"], "v"),
            node("Reshape", ["v", "last"]),
            s=[1, 2, 16, 9], first=[0], end=[1], last=[1, 256],
        ),
        # A mean, taken apart and put together again point by point, as torch exports one of ConvNeXt.
        network(
            node("GlobalAveragePool", ["c"], "m"), node("Reshape", ["m", "s"], "f"), node("Gather", ["f", "i"]),
            s=[-1], i=[[7, 6, 5, -4, 3, 2, 1, 0]],
        ),
        network(node("Gather", ["c", "i"], axis=0), i=[0]),
        network(node("Gather", ["c", "i"], axis=2), i=np.int64(4)),  # removes an axis behind the images'
        network(node("Split", ["c"], ["a", "b"], axis=1, num_outputs=2), node("Concat", ["b", "a"], axis=1)),
        network(node("Slice", ["c", "s", "e", "a", "back"]), s=[-1, 0], e=[-9, 9], a=[2, 0], back=[-2, 1]),
        network(node("Tile", ["c", "r"]), r=[1, 2, 1, 1]),
        network(node("GlobalAveragePool", ["c"], "m"), node("Expand", ["m", "s"]), s=[1, 8, 3, 1]),
    ],
)  # fmt: skip
def test_every_image_is_computed_as_alone(model: onnx.ModelProto) -> None:
    assert_the_same_image_by_image(model)


def test_a_quantized_network_keeps_its_scales() -> None:
    model = network(
        node("Relu", ["c"], "r"), node("GlobalAveragePool", ["r"], "m"), node("Reshape", ["m", "s"], "f"),
        node("Gemm", ["f", "d", "b"]), s=[1, 8], d=networks.random((8, 5)), b=networks.random((5,)),
    )  # fmt: skip
    quantized = dlas_ops.quantize(model, networks.random((4, *networks.shape_of(CONV)[1:])))
    assert_the_same_image_by_image(quantized)


@pytest.mark.parametrize(
    ("model", "where"),
    [
        (network(node("Transpose", ["c"], perm=[1, 0, 2, 3])), "Transpose 'y'"),
        (network(node("Softmax", ["c"], axis=0)), "Softmax 'y'"),
        (network(node("Concat", ["c", "a"], axis=0), a=networks.random((1, 8, 6, 6))), "Concat 'y'"),
        (network(node("Gather", ["c", "i"], axis=0), i=np.int64(0)), "Gather 'y'"),
        (network(node("ReduceMax", ["c", "axes"]), axes=[0]), "ReduceMax 'y'"),
        # Two tensors of images, one behind the other: twice as many, but not each image's next to each other.
        (network(node("Relu", ["c"], "d"), node("Concat", ["c", "d"], axis=0)), "Concat 'y'"),
        (network(node("Tile", ["c", "r"]), r=[2, 1, 1, 1]), "Tile 'y'"),
        (network(node("Slice", ["c", "s", "e", "a", "back"]), s=[-1], e=[-9], a=[0], back=[-1]), "Slice 'y'"),
        (network(node("CumSum", ["c", "a"]), a=np.int64(0)), "CumSum 'y'"),
        (network(node("Einsum", ["c"], equation="bchw->chw")), "Einsum 'y'"),
        (
            network(node("LayerNormalization", ["c", "g"], axis=0), g=networks.random((1, 8, 6, 6))),
            "LayerNormalization 'y'",
        ),
        # Rows of a matrix that hold two images' halves each.
        (
            network(
                node("Transpose", ["c"], "t", perm=[1, 0, 2, 3]),
                node("Reshape", ["t", "s"]),
                s=[1, 288],
            ),
            "Reshape 'y'",
        ),
        # Images in a plane's place are convolved across their borders.
        (
            network(
                node("Transpose", ["c"], "t", perm=[1, 2, 0, 3]),
                node("MaxPool", ["t"], kernel_shape=[1, 1]),
            ),
            "MaxPool 'y'",
        ),
    ],
)
def test_an_operator_that_mixes_images_is_named(model: onnx.ModelProto, where: str) -> None:
    with pytest.raises(ValueError, match=f"cannot take 2 images at once: {where} does not work image by image"):
        with_batch(model, 2)


def test_shapes_that_no_longer_fit_are_refused_in_the_same_words() -> None:
    """A token that is itself computed, of a constant for one image."""
    model = network(
        node("Exp", ["token"], "e"), node("Concat", ["c", "e"], axis=1), token=networks.random((1, 2, 6, 6))
    )
    with pytest.raises(
        ValueError, match=r"^the network cannot take 2 images at once: Concat 'y' does not work image by"
    ):
        with_batch(model, 2)


def test_one_image_is_the_network_itself() -> None:
    model = network(node("Relu", ["c"]))
    assert with_batch(model, 1) is model
    several = with_batch(model, 4)
    assert with_batch(several, 4) is several


def test_other_batches_and_inputs_are_refused() -> None:
    model = network(node("Relu", ["c"]))
    with pytest.raises(ValueError, match="at least one image at once, not 0"):
        with_batch(model, 0)
    message = "no single input of one image"
    with pytest.raises(ValueError, match=message):
        with_batch(with_batch(model, 4), 2)
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, (1, 3)))
    with pytest.raises(ValueError, match=message):
        with_batch(model, 2)
