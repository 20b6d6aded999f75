"""Every operator that has a schedule, alone behind a convolution → how it runs in each dtype, as a table.

``python -m tests.dlas_ops.operator_table`` prints the table of ``docs/operators.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

import dlas_ops
from dlas_ops._types import Array
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.lowering import Lowered
from dlas_ops.onnx.quantization import quantize
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named

DTYPES = ("float32", "float16", "bfloat16", "int8")
PROCESSOR = "sapphirerapids"  # with instructions for each of them
CHANNELS, SIZE = 32, 8
FUSED, COPY, TABLE = "fused", "copy", "table"
# What reads the input and makes the output.
ENDS = re.compile(r"(fused_)?(cast|quantize|unpack|pack)(_cast|_dequantize|\d)*")
BEFORE, AFTER = "before", "after"  # the convolutions around an operator

Weights = Mapping[str, Array]


class Case(NamedTuple):
    """An operator: ``nodes`` from c, (1, 32, 8, 8) in channel blocks, to y, or from x where it has a `shape`.

    A convolution comes before it and, where y is a map, after it, so that what it reads and makes is stored narrow.
    """

    nodes: Sequence[onnx.NodeProto]
    weights: Weights = {}
    shape: tuple[int, ...] = ()

    def model(self) -> onnx.ModelProto:
        """Return its network."""
        if self.shape:
            return networks.model(self.nodes, self.shape, dict(self.weights))
        conv = Conv(1, CHANNELS, SIZE, SIZE, CHANNELS, (1, 1))
        first = networks.conv_node(conv, ["x", BEFORE], "c")
        nodes, weights = [first, *self.nodes], {BEFORE: networks.weights_of(conv), **self.weights}
        made = networks.model(nodes, networks.shape_of(conv), weights)
        sizes = [size.dim_value for size in made.graph.output[0].type.tensor_type.shape.dim]
        if len(sizes) != 4:
            return made
        last = helper.make_node("Conv", ["y", AFTER], ["z"])
        more = {**weights, AFTER: networks.random([CHANNELS, sizes[1], 1, 1])}
        return networks.model([*nodes, last], networks.shape_of(conv), more, "z")


def node(operator: str, inputs: Sequence[str] = ("c",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), ["y"], **attributes)


def weight(*shape: int) -> Weights:
    return {"w": networks.random(shape)}


def numbers(name: str, *values: float, dtype: str = "int64") -> Weights:
    return {name: np.array(values, dtype)}


def chain(*operators: str) -> list[onnx.NodeProto]:
    """Return operators of one input after one another, from c to y."""
    names = ["c", *(f"t{index}" for index in range(len(operators) - 1)), "y"]
    return [helper.make_node(each, [names[i]], [names[i + 1]]) for i, each in enumerate(operators)]


def times(*operators: str) -> list[onnx.NodeProto]:
    """Return c times what operators of one input make of it."""
    *made, last = chain(*operators)
    return [*made, helper.make_node(last.op_type, list(last.input), ["f"]), node("Mul", ["c", "f"])]


def reads(inputs: Sequence[str] = ("x", "w"), operator: str = "Conv", **attributes: Any) -> list[onnx.NodeProto]:
    return [node(operator, inputs, **attributes)]


LINE, VOLUME, TOKENS = (1, 16, 64), (1, 8, 6, 10, 10), (1, 50, 64)
SAME: dict[str, Any] = {"pads": [1, 1, 1, 1]}

CASES: dict[str, dict[str, Case]] = {
    "Convolutions": {
        "`Conv2d`": Case(reads(("c", "w"), **SAME), weight(48, 32, 3, 3)),
        "`Conv2d`, dilated": Case(reads(("c", "w"), dilations=[2, 2]), weight(48, 32, 3, 3)),
        "`Conv2d`, grouped": Case(reads(("c", "w"), group=4, **SAME), weight(32, 8, 3, 3)),
        "`Conv2d`, depthwise": Case(reads(("c", "w"), group=32, **SAME), weight(32, 1, 3, 3)),
        "`Conv1d`": Case(reads(pads=[1, 1]), weight(24, 16, 3), LINE),
        "`Conv1d`, depthwise": Case(reads(pads=[1, 1], group=16), weight(16, 1, 3), LINE),
        "`Conv3d`": Case(reads(pads=[1] * 6), weight(16, 8, 3, 3, 3), VOLUME),
        "`Conv3d`, depthwise": Case(reads(pads=[1] * 6, group=8), weight(8, 1, 3, 3, 3), VOLUME),
        "`ConvTranspose1d`": Case(reads(operator="ConvTranspose", strides=[2]), weight(16, 24, 4), LINE),
        "`ConvTranspose2d`": Case(reads(("c", "w"), "ConvTranspose", strides=[2, 2]), weight(32, 16, 2, 2)),
        "`ConvTranspose2d`, depthwise": Case(
            reads(("c", "w"), "ConvTranspose", strides=[2, 2], group=32), weight(32, 1, 4, 4)
        ),
        "`ConvTranspose3d`": Case(reads(operator="ConvTranspose", strides=[2] * 3), weight(8, 8, 2, 2, 2), VOLUME),
    },
    "Matrix products": {
        "`Linear`": Case(reads(operator="Gemm"), weight(64, 32), (1, 64)),
        "`Linear` on tokens": Case(reads(operator="MatMul"), weight(64, 32), TOKENS),
        "`matmul` of activations": Case(
            [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"])], {}, TOKENS
        ),
        "`scaled_dot_product_attention`": Case(
            [
                helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
                helper.make_node("MatMul", ["x", "t"], ["scores"]),
                helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
                node("MatMul", ["shares", "x"]),
            ],
            {},
            TOKENS,
        ),
    },
    "Activations": {
        "`ReLU`, `ReLU6`, `Hardtanh`": Case(
            [node("Clip", ["c", "low", "high"])],
            {"low": np.array(0.0, np.float32), "high": np.array(6.0, np.float32)},
        ),
        "`LeakyReLU`": Case(chain("LeakyRelu")),
        "`PReLU`": Case([node("PRelu", ["c", "w"])], weight(32, 1, 1)),
        "`ELU`, `CELU`, `SELU`": Case(chain("Elu")),
        "`Sigmoid`": Case(chain("Sigmoid")),
        "`SiLU`": Case(times("Sigmoid")),
        "`GELU`": Case(chain("Gelu")),
        "`Mish`": Case(times("Softplus", "Tanh")),
        "`Tanh`": Case(chain("Tanh")),
        "`Hardsigmoid`": Case(chain("HardSigmoid")),
        "`Hardswish`": Case(chain("HardSwish")),
        "`Softplus`": Case(chain("Softplus")),
        "`Softmax` over channels": Case([node("Softmax", axis=1)]),
        "`Softmax` of tokens": Case([node("Softmax", ["x"], axis=-1)], {}, TOKENS),
    },
    "Norms": {
        "`BatchNorm2d` behind a ReLU": Case(
            [helper.make_node("Relu", ["c"], ["r"]), node("BatchNormalization", ["r", *"abmv"])],
            {name: np.abs(networks.random([32], seed)) for seed, name in enumerate("abmv")},
        ),
        "`LayerNorm` of tokens": Case(
            [node("LayerNormalization", ["x", "a", "b"])],
            {"a": networks.random([64]), "b": networks.random([64])}, TOKENS,
        ),
        "`LayerNorm` over channels": Case(
            [
                helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
                helper.make_node("LayerNormalization", ["t", "a", "b"], ["n"]),
                node("Transpose", ["n"], perm=[0, 3, 1, 2]),
            ],
            {"a": networks.random([32]), "b": networks.random([32])},
        ),
        "`GroupNorm`, `InstanceNorm2d`": Case(
            [
                helper.make_node("Reshape", ["c", "groups"], ["g"]),
                helper.make_node("InstanceNormalization", ["g", "a", "b"], ["n"]),
                node("Reshape", ["n", "whole"]),
            ],
            {**numbers("groups", 1, 4, -1), **numbers("whole", 1, 32, 8, 8),
             "a": np.ones(4, np.float32), "b": np.zeros(4, np.float32)},
        ),
    },
    "Pooling": {
        "`MaxPool2d`": Case([node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])]),
        "`AvgPool2d`": Case([node("AveragePool", kernel_shape=[2, 2], strides=[2, 2])]),
        "`AvgPool2d`, `ceil_mode`": Case([node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)]),
        "`AdaptiveAvgPool2d(1)`, a mean over maps": Case([node("GlobalAveragePool")]),
        "`MaxPool1d`": Case([node("MaxPool", ["x"], kernel_shape=[2], strides=[2])], {}, LINE),
        "`MaxPool3d`": Case([node("MaxPool", ["x"], kernel_shape=[2] * 3, strides=[2] * 3)], {}, VOLUME),
        "`amax` over maps": Case([node("ReduceMax", ["c", "axes"], keepdims=0)], numbers("axes", 2, 3)),
        "`mean` over tokens": Case([node("ReduceMean", ["x", "axes"])], numbers("axes", 1), TOKENS),
    },
    "Others": {
        "`+`, `*` of two activations": Case([node("Add", ["c", "x"])]),
        "`exp`, `log`, `sqrt`, `pow`, `sin`": Case(chain("Exp")),
        "`interpolate`, nearest": Case(
            [node("Resize", ["c", "", "scales"], mode="nearest", coordinate_transformation_mode="asymmetric",
                  nearest_mode="floor")],
            numbers("scales", 1, 1, 2, 2, dtype="float32"),
        ),
        "`interpolate`, bilinear": Case(
            [node("Resize", ["c", "", "scales"], mode="linear")], numbers("scales", 1, 1, 2, 2, dtype="float32")
        ),
        "`interpolate`, bicubic": Case(
            [node("Resize", ["c", "", "scales"], mode="cubic")], numbers("scales", 1, 1, 2, 2, dtype="float32")
        ),
        "`PixelShuffle`": Case([node("DepthToSpace", blocksize=2, mode="CRD")]),
        "`pad`": Case([node("Pad", ["c", "pads"])], numbers("pads", 0, 0, 1, 1, 0, 0, 1, 1)),
        "`cat` of channels": Case([node("Concat", ["c", "x"], axis=1)]),
        "slices of rows and columns": Case(
            [node("Slice", ["c", "from", "to", "axes"])],
            {**numbers("from", 1, 2), **numbers("to", 7, 8), **numbers("axes", 2, 3)},
        ),
        "`reshape`, `permute`": Case([node("Transpose", perm=[0, 2, 3, 1])]),
    },
}  # fmt: skip


def by_onnxruntime(model: onnx.ModelProto) -> Callable[[Array], list[Array]]:
    """Return what runs `model`, whose ranges the scales of int8 are of, without compiling it."""
    import onnxruntime

    if not model.graph.output:
        return lambda batch: []
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: list(session.run(None, {name: batch}))


def lowered(case: Case, dtype: str) -> Lowered | None:
    """Return the operator's network as it runs on `PROCESSOR`; None in int8 where nothing of it is quantized."""
    model = case.model()
    sizes = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    try:
        if dtype == "int8":
            model = quantize(model, networks.random([4, *sizes[1:]]), by_onnxruntime)
        return dlas_ops.lower(model, named(PROCESSOR), algorithm="direct", dtype=dtype)
    except ValueError:
        if dtype != "int8":
            raise
        return None


class Runs(NamedTuple):
    """How an operator runs: by which schedule, and in which arithmetic."""

    how: str
    arithmetic: str


def runs(case: Case, dtype: str) -> Runs:
    """Return how the operator runs where its network is asked for in `dtype`, by its account and its programs."""
    made = lowered(case, dtype)
    if made is None:
        return runs(case, "float32")
    own = [layer for layer in made.layers if layer.name not in (BEFORE, AFTER)]
    if own:
        ran = " and ".join(dict.fromkeys(layer.ran.removesuffix("/dense") for layer in own))
        kinds = dict.fromkeys("int8" if layer.dtype == "int8" else layer.arithmetic.split(" ")[0] for layer in own)
        return Runs(ran, ", ".join(kinds))
    programs = [name for name in networks.calls(made.module) if not ENDS.fullmatch(name)]
    how = FUSED if all("conv2d" in name for name in programs) else COPY
    first = programs[0]
    if dtype != "int8" or "dequantize" in "".join(programs[:-1]):
        return Runs(how, "float32")
    return Runs(TABLE if "look_up" in first else how, "int8")


def rows(case: Case) -> list[str]:
    """Return the cells of an operator: schedule, then arithmetic by dtype, with the schedule where that differs."""
    found = [runs(case, dtype) for dtype in DTYPES]
    usual = found[0].how
    return [f"`{usual}`", *(each.arithmetic + (f", `{each.how}`" if each.how != usual else "") for each in found)]


def table() -> list[str]:
    """Return the lines of all tables."""
    lines = []
    for group, cases in CASES.items():
        lines += [f"### {group}", "", f"| operator | schedule | {' | '.join(DTYPES)} |", "| --- " * 6 + "|"]
        lines += [f"| {name} | {' | '.join(rows(case))} |" for name, case in cases.items()] + [""]
    return lines[:-1]


if __name__ == "__main__":
    print("\n".join(table()))
