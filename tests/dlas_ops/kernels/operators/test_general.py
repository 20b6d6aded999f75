"""Softmax, norms, reductions and what moves points, of plain and of blocked tensors, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from tests.dlas_ops import assembly
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.shapes import SETTINGS

Nodes = tuple[Sequence[onnx.NodeProto], dict[str, Any]]
Shape = tuple[int, ...]

SHAPES = st.tuples(st.integers(1, 2), st.sampled_from([1, 3, 16, 20, 32]), st.integers(1, 19), st.integers(1, 40))


def node(operator: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)


def constants(**values: Any) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in values.items()}


def per_channel(count: int) -> dict[str, Any]:
    return {"g": 1 + networks.random((count,), 1), "b": networks.random((count,), 2)}


def transposed_norm(shape: Shape) -> Nodes:
    nodes = [
        node("Transpose", "c", "t", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "t g b", "n", axis=-1),
        node("Transpose", "n", perm=[0, 3, 1, 2]),
    ]
    return nodes, per_channel(shape[1])


def group_norm(groups: Callable[[int], int]) -> Callable[[Shape], Nodes]:
    """Return a group norm as torch's exporter writes it."""

    def made(shape: Shape) -> Nodes:
        count = groups(shape[1])
        nodes = [
            node("Reshape", "c rows", "r"), node("InstanceNormalization", "r ones zeros", "n"),
            node("Reshape", "n whole", "maps"), node("Mul", "maps g", "m"), node("Add", "m b"),
        ]  # fmt: skip
        values = constants(rows=np.array([shape[0], count, -1]), whole=np.array(shape))
        values |= {"ones": 1 + networks.random((count,), 3), "zeros": networks.random((count,), 4)}
        return nodes, values | {name: array[:, None, None] for name, array in per_channel(shape[1]).items()}

    return made


def simple(operator: str, **attributes: Any) -> Callable[[Shape], Nodes]:
    return lambda shape: ([node(operator, "c", **attributes)], {})


def reduced(operator: str, axes: Sequence[int], keepdims: int = 1) -> Callable[[Shape], Nodes]:
    return lambda shape: ([node(operator, "c axes", keepdims=keepdims)], constants(axes=np.array(axes)))


def padded(mode: str) -> Callable[[Shape], Nodes]:
    most = (lambda size: min(size - 1, 3)) if mode == "reflect" else (lambda size: 3)

    def made(shape: Shape) -> Nodes:
        pads = [0, 0, most(shape[2]), 1 if shape[3] > 1 else 0, 0, 0, 0, most(shape[3])]
        return [node("Pad", "c pads", mode=mode)], constants(pads=np.array(pads))

    return made


def resized(mode: str, transformation: str) -> Callable[[Shape], Nodes]:
    def made(shape: Shape) -> Nodes:
        sizes = np.array([*shape[:2], 2 * shape[2], 2 * shape[3]])
        nearest = {"nearest_mode": "floor"} if mode == "nearest" else {}
        attributes = {"coordinate_transformation_mode": transformation, **nearest}
        return [helper.make_node("Resize", ["c", "", "", "sizes"], ["y"], mode=mode, **attributes)], constants(
            sizes=sizes
        )

    return made


def sliced(shape: Shape) -> Nodes:
    channels = 16 if shape[1] == 32 else 0
    starts, ends = np.array([channels, 0, shape[3] // 3]), np.array([shape[1], 2**31, shape[3]])
    return [node("Slice", "c starts ends axes steps")], constants(
        starts=starts, ends=ends, axes=np.array([1, 2, 3]), steps=np.array([1, 2, 1])
    )


OPERATORS: dict[str, Callable[[Shape], Nodes]] = {
    "softmax, last axis": simple("Softmax", axis=-1),
    "softmax over channels": simple("Softmax", axis=1),
    "log softmax": simple("LogSoftmax", axis=-1),
    "layer norm": lambda shape: (
        [node("LayerNormalization", "c g b", axis=-1)], per_channel(shape[3]),
    ),
    "layer norm over channels": transposed_norm,
    "group norm of one group": group_norm(lambda channels: 1),
    "group norm": group_norm(lambda channels: 4 if channels % 4 == 0 else channels),
    "instance norm": lambda shape: ([node("InstanceNormalization", "c g b")], per_channel(shape[1])),
    "mean of all": reduced("ReduceMean", [1, 2, 3], 0),
    "mean over channels": reduced("ReduceMean", [1]),
    "mean over rows": reduced("ReduceMean", [2]),
    "sum over the last axis": reduced("ReduceSum", [3], 0),
    "maximum over maps": reduced("ReduceMax", [2, 3], 0),
    "minimum over maps": reduced("ReduceMin", [2, 3]),
    "length over channels": reduced("ReduceL2", [1]),
    "argmax over channels": lambda shape: ([node("ArgMax", "c", "i", axis=1), node("Cast", "i", to=1)], {}),
    "argmax": lambda shape: ([node("ArgMax", "c", "i", axis=3), node("Cast", "i", to=1)], {}),
    "transpose": simple("Transpose", perm=[0, 2, 3, 1]),
    "transpose of points": simple("Transpose", perm=[0, 1, 3, 2]),
    "padding": padded("constant"),
    "reflected padding": padded("reflect"),
    "nearest": resized("nearest", "asymmetric"),
    "bilinear": resized("linear", "half_pixel"),
    "bilinear, corners aligned": resized("linear", "align_corners"),
    "slice": sliced,
    "concatenation of columns": lambda shape: ([node("Neg", "c", "n"), node("Concat", "n c", axis=3)], {}),
    "one slope": lambda shape: ([node("PRelu", "c slope")], constants(slope=np.array([0.3], np.float32))),
    "mish": simple("Mish"),
}  # fmt: skip


def network(name: str, shape: Shape, blocked: bool) -> onnx.ModelProto:
    """Return the operator on the input or, for channel blocks, on what a pointwise convolution makes of it."""
    nodes, weights = OPERATORS[name](shape)
    if blocked:
        weights = {**weights, "w": networks.random((shape[1], shape[1], 1, 1), 5)}
    first = node("Conv", "x w", "c") if blocked else node("Identity", "x", "c")
    return networks.model([first, *nodes], shape, weights)


def check(name: str, shape: Shape, blocked: bool, dtype: str, algorithm: str = "spatial_pack") -> None:
    model, data = network(name, shape, blocked), networks.random(shape)
    actual = networks.run(dlas_ops.compile(model, networks.target(), algorithm=algorithm, dtype=dtype), data)
    expected = networks.run_onnxruntime(model, data)
    if dtype == "float32" or "argmax" not in name:  # rounding turns near ties
        # A variance of a few rounded numbers may be near zero.
        networks.assert_close(actual, expected, 1e-4 if dtype == "float32" else 2e-2)


@pytest.mark.parametrize("name", OPERATORS)
def test_agrees_with_onnxruntime(name: str) -> None:
    check(name, (2, 20, 7, 19), True, "float32")


@pytest.mark.nightly
@pytest.mark.parametrize("name", OPERATORS)
def test_agrees_over_drawn_shapes(name: str) -> None:
    few = {"norm": 8}  # of fewer numbers the deviation is near zero, and so is what both compute of it

    @settings(SETTINGS, max_examples=12)
    @given(SHAPES, st.booleans(), st.sampled_from(["float32", "float16"]), st.sampled_from(["direct", "spatial_pack"]))
    def cases(shape: Shape, blocked: bool, dtype: str, algorithm: str) -> None:
        if "norm" in name:
            shape = (*shape[:2], shape[2] + 4, shape[3] + few["norm"])
            shape = (shape[0], max(shape[1], 16), *shape[2:])
        if name == "length over channels" and dtype == "float16":
            return
        check(name, shape, blocked, dtype, algorithm)

    cases()


@pytest.mark.parametrize(("name", "blocked"), crossed(["softmax, last axis", "mish", "log softmax"], [True, False]))
def test_no_function_of_the_c_library_is_called(name: str, blocked: bool) -> None:
    model = network(name, (1, 16, 6, 37), blocked)
    text = assembly.text_of(dlas_ops.compile(model, networks.target(), algorithm="spatial_pack").library)
    called = {word for line in text.splitlines() if "call" in line or "bl\t" in line for word in line.split()}
    assert not {name.split("@")[0] for name in called} & {"expf", "logf", "tanhf", "erff", "powf", "exp", "log"}


@pytest.mark.parametrize(
    ("name", "ran"),
    [("softmax, last axis", "general"), ("group norm", "blocks"), ("layer norm over channels", "blocks"),
     ("argmax", "general"), ("bilinear", "blocks"), ("maximum over maps", "blocks")],
)  # fmt: skip
def test_the_account_says_what_ran(name: str, ran: str) -> None:
    layers = dlas_ops.lower(network(name, (1, 16, 6, 8), True), networks.target(), algorithm="spatial_pack").layers
    assert [layer.ran for layer in layers if layer.operator != "conv2d"] == [ran]


@pytest.mark.parametrize(
    "name", ["group norm", "layer norm over channels", "padding", "bilinear", "slice", "concatenation of columns"]
)
def test_channel_blocks_are_kept(name: str) -> None:
    model = network(name, (1, 32, 6, 9), True)
    second = helper.make_node("Conv", ["y", "w2"], ["z"])
    channels = 16 if name == "slice" else 32
    model = networks.model(
        [*model.graph.node, second], (1, 32, 6, 9),
        {array.name: onnx.numpy_helper.to_array(array) for array in model.graph.initializer}
        | {"w2": networks.random((16, channels, 1, 1))}, "z",
    )  # fmt: skip
    lowered = dlas_ops.lower(model, networks.target(), algorithm="spatial_pack")
    programs = [str(variable.name_hint) for variable in lowered.module.get_global_vars()]
    # Only the result of the last convolution is unpacked, and what enters the first is read as it is.
    conversions = [name for name in programs if "pack" in name.replace("spatial_pack", "")]
    assert [name.rstrip("0123456789") for name in conversions] == ["unpack"], programs
    data = networks.random((1, 32, 6, 9))
    library = dlas_ops.build(lowered, networks.target()).library
    networks.assert_close(networks.run_library(library, data), networks.run_onnxruntime(model, data))
