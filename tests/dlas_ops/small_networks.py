"""Small ONNX networks for the tests, and what runs them: ours compiled in this process, and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule
from dlas_ops.compiler import Compiled
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import native_target

Array = NDArray[np.float32]

# Processor → the flag of one that runs what is compiled for it, by its name in /proc/cpuinfo.
NEEDED = {"x86-64-v2": "sse4_2", "x86-64-v3": "avx2"}


@cache
def target() -> Any:
    return tvm.target.Target(native_target())


@cache
def x86_flags() -> frozenset[str]:
    """Return what this processor has by its names in /proc/cpuinfo; nothing on one that is no x86."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return frozenset(next((line.split(":")[1].split() for line in lines if line.startswith("flags")), []))


def model(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int], weights: dict[str, Array], output: str = "y"
) -> onnx.ModelProto:
    """Return the network of `nodes` from input x of `shape` to `output`, its shapes inferred."""
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True)


def conv_node(conv: Conv, inputs: Sequence[str], output: str) -> onnx.NodeProto:
    return helper.make_node(
        "Conv", inputs, [output], kernel_shape=conv.kernel, strides=conv.stride, pads=conv.padding,
        dilations=conv.dilation, group=conv.groups,
    )  # fmt: skip


def calls(module: IRModule) -> list[str]:
    """Return the names of the tensor programs that "main" calls, or of the operators, in its order."""
    found = []
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            with suppress(AttributeError):  # the output is bound to a variable
                name = binding.value.op.name
                found.append(str(binding.value.args[0].name_hint) if name.startswith("relax.call_tir") else name)
    return found


def one_layer(conv: Conv, weight: Array | None = None) -> onnx.ModelProto:
    """Return the network of `conv` alone, from x to y, its weights "w"."""
    held = weights_of(conv) if weight is None else weight
    return model([conv_node(conv, ["x", "w"], "y")], shape_of(conv), {"w": held})


REPEATED = Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1))


def repeated() -> onnx.ModelProto:
    """Return three convolutions of one shape, the last one without what the others are fused with."""
    nodes = [
        conv_node(REPEATED, ["x", "w0"], "a"), helper.make_node("Relu", ["a"], ["b"]),
        conv_node(REPEATED, ["b", "w1"], "c"), helper.make_node("Relu", ["c"], ["d"]),
        conv_node(REPEATED, ["d", "w2"], "y"),
    ]  # fmt: skip
    weights = {f"w{seed}": weights_of(REPEATED, seed) for seed in range(3)}
    return model(nodes, shape_of(REPEATED), weights)


def shape_of(conv: Conv) -> tuple[int, ...]:
    return conv.batch, conv.in_channels, conv.height, conv.width


def weights_of(conv: Conv, seed: int = 0) -> Array:
    shape = (conv.out_channels, conv.group_channels, *conv.kernel)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def random(shape: Sequence[int], seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(tuple(shape)).astype(np.float32)


def run(compiled: Compiled, data: Array) -> Array:
    return run_library(compiled.library, data)


def run_library(library: Any, data: Array) -> Array:
    machine = tvm.relax.VirtualMachine(library, tvm.cpu())
    return np.asarray(machine["main"](tvm.runtime.tensor(data)).numpy())


def run_on_gpu(library: Any, data: Array, kind: str = "opencl") -> Array:
    device = tvm.device(kind, 0)
    machine = tvm.relax.VirtualMachine(library, [device, tvm.cpu()])
    return np.asarray(machine["main"](tvm.runtime.tensor(data, device)).numpy())


def run_onnxruntime(network: onnx.ModelProto, data: Array) -> Array:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: data})[0])


def run_reference(network: onnx.ModelProto, data: Array) -> Array:
    """Return what ONNX's operators, written in NumPy, compute: exact sums of integers.

    ONNX Runtime's are not everywhere: without VNNI, its sums of two products of 8-bit integers saturate at 16 bits.
    """
    from onnx.reference import ReferenceEvaluator

    [output] = ReferenceEvaluator(network).run(None, {"x": data})
    return np.asarray(output)


def assert_close(actual: Array, expected: Array, tolerance: float = 1e-4) -> None:
    """Compare relative to the largest expected value: sums of many terms cancel."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(float(np.abs(expected).max()), 1e-3))
