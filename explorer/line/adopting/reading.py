"""ONNX file → its float32 network, weights inside and operators of one version, or why it is none in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper, inliner

from explorer.core.errors import ExplorerError

OPSET = 20  # as the explorer exports models, and all stages know its operators; older networks are converted to it
STANDARD = ("", "ai.onnx")  # the domain of ONNX's own operators
NARROW = {
    TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64",
}  # fmt: skip
QUANTIZING = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")


def read(path: Path) -> onnx.ModelProto:
    """Return the network in the file at `path`.

    Raises
    ------
    ExplorerError
        If it is no float32 network that the installed onnx knows.
    """
    model = parsed(path)
    for name in files_beside(model):
        if not (path.parent / name).is_file():
            raise ExplorerError(f"{path} has its weights in the file '{name}', which is not in the same folder")
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # of any kind, where such a file is too short or lies elsewhere
        raise ExplorerError(f"the weights beside {path} cannot be read: {_first_line(error)}") from error
    if model.functions:
        model = inliner.inline_local_functions(model)
    _without_constants_as_inputs(model.graph)
    _lift_constants(model.graph)
    _refuse_operators(path, model)
    _refuse_types(path, model.graph)
    return _of_opset(path, model)


def parsed(path: Path) -> onnx.ModelProto:
    """Return what the file says, without weights in files beside it.

    Raises
    ------
    ExplorerError
        If it is no ONNX file.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's, of several kinds
        raise ExplorerError(f"{path} is no ONNX file, or is damaged") from error
    if not model.ir_version or not model.graph.node:
        raise ExplorerError(f"{path} is no ONNX file, or has no network in it")
    if model.ir_version > onnx.IR_VERSION:
        versions = f"{model.ir_version} of ONNX's format; allowed: up to {onnx.IR_VERSION}"
        raise ExplorerError(f"{path} is of version {versions}, which onnx {onnx.__version__} knows")
    return model


def files_beside(model: onnx.ModelProto) -> list[str]:
    """Return the names of the files that hold weights of `model`, relative to its own folder."""
    return sorted(
        {
            entry.value
            for tensor in _tensors(model.graph)
            if external_data_helper.uses_external_data(tensor)
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )


def opset(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators in `model`."""
    return max((each.version for each in model.opset_import if each.domain in STANDARD), default=0)


def named(node: onnx.NodeProto) -> str:
    """Return a node as messages name it: "Conv 'stem'"."""
    return f"{node.op_type} '{node.name or next(iter(node.output), '')}'"


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _without_constants_as_inputs(graph: onnx.GraphProto) -> None:
    """Take initializers from the inputs, among which files of old exporters list them."""
    constants = {tensor.name for tensor in graph.initializer}
    kept = [source for source in graph.input if source.name not in constants]
    del graph.input[:]
    graph.input.extend(kept)


def _lift_constants(graph: onnx.GraphProto) -> None:
    """Make initializers of tensors that nodes hold, as weights do in files of some exporters."""
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    held = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(held)


def _refuse_operators(path: Path, model: onnx.ModelProto) -> None:
    """Raise ExplorerError for operators that quantize, and for versions and operators that onnx does not know."""
    newest = onnx.defs.onnx_opset_version()
    if opset(model) > newest:
        raise ExplorerError(
            f"{path} is of opset {opset(model)}; allowed: up to {newest}, the last that onnx {onnx.__version__} knows"
        )
    for node in model.graph.node:
        if node.op_type in QUANTIZING or node.op_type.startswith("QLinear"):
            raise ExplorerError(
                f"{path} is quantized already, by {named(node)}; give its float32 network, which compression int8 "
                "quantizes"
            )
        if node.domain not in STANDARD or not onnx.defs.has(node.op_type):
            whose = f"of '{node.domain}'" if node.domain not in STANDARD else f"which onnx {onnx.__version__} lacks"
            raise ExplorerError(f"{path} has {named(node)}, {whose}; allowed: ONNX's own operators")


def _refuse_types(path: Path, graph: onnx.GraphProto) -> None:
    """Raise ExplorerError for weights in other floats than float32."""
    for tensor in graph.initializer:
        if tensor.data_type in NARROW and len(tensor.dims) > 1:
            dtype = NARROW[tensor.data_type]
            raise ExplorerError(
                f"{path} has weights in {dtype}, such as '{tensor.name}'; export it in float32, which compression "
                "float16 or bfloat16 stores in fewer bits"
            )


def _of_opset(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network in opset `OPSET` or a later one."""
    if opset(model) >= OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises RuntimeError, and others
        raise ExplorerError(
            f"{path} is of opset {opset(model)}, and onnx cannot convert it to {OPSET} ({_first_line(error)}); export "
            "it with a later opset"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".")
