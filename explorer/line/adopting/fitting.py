"""ONNX network and the images of a data set → the network for one of these images, shapes fixed, or why it takes none.

Its input is named ``image``, shape (1, C, H, W), and its output ``logits``, shape (1, …), as
`explorer.line.training.onnx_export` names them. A classifier's is (1, classes). What a network for another task answers
is judged by the user's metric alone, so that it may have any shape.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from explorer.core.errors import ExplorerError
from explorer.line.adopting.reading import STANDARD, named, opset
from explorer.line.checking.onnx_reference import evaluator_of
from explorer.line.task import Task

INPUT, OUTPUT = "image", "logits"
CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # permutations that lead there
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
SHAPED = {"Reshape": 1, "Resize": 3, "Expand": 1}  # operators that take a shape as an input, and which one
EXPORT_AGAIN = "export it for one image, or for any number"
ROUNDING = 1e-3  # of the largest output
MOST_FOLDED = 1 << 28  # numbers in a constant that is computed of others, such as a transposed weight

Shape = tuple[int, int, int]
Sizes = Sequence[int | None]  # None for a size that is not fixed


def fit(model: onnx.ModelProto, shape: Shape, task: Task) -> onnx.ModelProto:
    """Return `model` for one image of `shape`, (C, H, W), simplified where sizes that are fixed now allow it.

    Raises
    ------
    ExplorerError
        If it does not take such an image, or does not tell the task's classes apart.
    """
    source, answer = _only(model.graph.input, "inputs"), _only(model.graph.output, "outputs")
    network = onnx.ModelProto()
    network.CopyFrom(model)
    graph = network.graph
    is_last = _has_channels_last(source, shape)
    batch = next(iter(_sizes(source)), None) or 1
    if batch > 1:
        _take_one(graph, batch)
    _rename(graph, {source.name: INPUT, answer.name: OUTPUT})
    if is_last:
        _turn(graph)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (1, *shape)))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None))
    network = _with_answer(_simplified(network, shape), task, batch)
    if batch > 1 and not _answers_alike(model, network, batch, is_last):
        raise ExplorerError(f"the network takes {batch} images at once and answers one alone otherwise; {EXPORT_AGAIN}")
    return network


def _only(values: Iterable[onnx.ValueInfoProto], kind: str) -> onnx.ValueInfoProto:
    """Return the network's only input or output."""
    first, *others = values
    if others:
        names = ", ".join(f"'{value.name}'" for value in (first, *others))
        raise ExplorerError(f"the network has {len(others) + 1} {kind}, {names}; allowed: one")
    if first.type.tensor_type.elem_type != TensorProto.FLOAT:
        dtype = TensorProto.DataType.Name(first.type.tensor_type.elem_type).lower()
        raise ExplorerError(f"the network has {kind} of type {dtype}, '{first.name}'; allowed: float32")
    return first


def _sizes(value: onnx.ValueInfoProto) -> list[int | None]:
    """Return the sizes of a tensor; those that are not fixed have a name, or a number that is none."""
    return [size.dim_value if size.dim_value > 0 else None for size in value.type.tensor_type.shape.dim]


def _has_channels_last(source: onnx.ValueInfoProto, shape: Shape) -> bool:
    """Tell whether the network takes images of `shape`, (C, H, W), as (H, W, C)."""
    _, *own = _sizes(source) or [None]
    first, last = shape, (*shape[1:], shape[0])
    if not own or _matches(own, first):
        return False
    if _matches(own, last):
        return True
    raise ExplorerError(f"the network takes images of {_text(own)}, and the data set has {_text(first)}")


def _matches(sizes: Sizes, shape: Sequence[int]) -> bool:
    return len(sizes) == len(shape) and all(own in (None, size) for own, size in zip(sizes, shape, strict=True))


def _text(sizes: Sizes) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes)


def _take_one(graph: onnx.GraphProto, batch: int) -> None:
    """Make the shapes that a network for `batch` images leads to those for one image."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        at = SHAPED.get(node.op_type, len(node.input))
        if at < len(node.input) and node.input[at] in constants:
            sizes = np.array(numpy_helper.to_array(constants[node.input[at]]))
            if sizes.size and sizes[0] == batch:
                sizes[0] = 1
                name = f"{node.input[at]}_of_{number}"  # of its own: other operators may read the constant, too
                graph.initializer.append(numpy_helper.from_array(sizes, name))
                node.input[at] = name


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename tensors; others that have one of the new names get another."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | {
        each.name for each in graph.initializer
    }
    for new in set(names.values()) - names.keys():
        if new in taken:
            names = {**names, new: f"{new}_inside"}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _turn(graph: onnx.GraphProto) -> None:
    """Let a network of images with channels last take them with channels first.

    Where it begins by turning them so itself, as networks of TensorFlow do, that operator is left out.
    """
    readers = [node for node in graph.node if INPUT in node.input]
    turned = f"{INPUT}_channels_last"
    turning = [node for node in readers if _permutation(node) == CHANNELS_FIRST]
    for node in readers:
        node.input[:] = [turned if name == INPUT else name for name in node.input]
    outputs = {node.output[0]: INPUT for node in turning}
    kept = [node for node in graph.node if node not in turning]
    for node in kept:
        node.input[:] = [outputs.get(name, name) for name in node.input]
    first = helper.make_node("Transpose", [INPUT], [turned], perm=CHANNELS_LAST)
    held = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend([first, *held])  # nothing reads the first where every reader turned the images: it is dead code


def _permutation(node: onnx.NodeProto) -> tuple[int, ...] | None:
    if node.op_type != "Transpose":
        return None
    return next((tuple(each.ints) for each in node.attribute if each.name == "perm"), None)


def _simplified(network: onnx.ModelProto, shape: Shape) -> onnx.ModelProto:
    """Return the network with what follows from constants and fixed sizes computed, and every shape known.

    onnxscript's optimizer is what PyTorch's exporter runs, too.
    """
    from onnxscript import ir, optimizer

    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    try:
        model = ir.from_proto(network)
        optimizer.optimize_ir(
            model,
            input_size_limit=MOST_FOLDED,
            output_size_limit=MOST_FOLDED,
            # By itself it keeps this operator, with which PyTorch's padding computes its widths.
            should_fold=lambda node: node.op_type == "ConstantOfShape" or None,
        )
        network = ir.to_proto(model)
        network = onnx.shape_inference.infer_shapes(network, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # either raises errors of several kinds
        said = " ".join(str(error).split()) or type(error).__name__
        raise ExplorerError(f"the network cannot take an image of {_text(shape)}: {said}") from error
    for node in network.graph.node:
        if node.op_type in CONTROL_FLOW and node.domain in STANDARD:
            raise ExplorerError(f"the network has control flow, {named(node)}; allowed: operators that all run, once")
    return network


def _answers_alike(model: onnx.ModelProto, network: onnx.ModelProto, batch: int, is_last: bool) -> bool:
    """Tell whether `network` computes of images one by one what `model` computes of `batch` of them at once."""
    sizes = [size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim]
    images = np.random.default_rng(0).standard_normal((batch, *sizes[1:])).astype(np.float32)
    whole: Any = evaluator_of(model)
    try:
        given = images.transpose(CHANNELS_LAST) if is_last else images
        together = whole.run(None, {model.graph.input[0].name: given})[0].reshape(batch, -1)
    except Exception as error:  # an operator that onnx has not in NumPy
        raise ExplorerError(
            f"onnx's own operators do not compute the network: {' '.join(str(error).split())}"
        ) from error
    single: Any = evaluator_of(network)
    try:
        alone = np.concatenate([single.run(None, {INPUT: image[np.newaxis]})[0].reshape(1, -1) for image in images])
    except Exception:  # shapes that fit the others alone
        return False
    return together.shape == alone.shape and bool(np.allclose(together, alone, atol=ROUNDING * np.abs(together).max()))


def _with_answer(network: onnx.ModelProto, task: Task, batch: int) -> onnx.ModelProto:
    """Return the network with an output of the shape that the task has, if only sizes of 1 are in the way.

    Raises
    ------
    ExplorerError
        If a classifier's output has another shape then, or any network's is not known.
    """
    output = network.graph.output[0]
    sizes = _sizes(output) if output.type.tensor_type.HasField("shape") else []
    wanted: list[int | None] = [1, *(task.answers("") or ())]
    if sizes[:1] == [1] and sizes != wanted and _without_ones(sizes) == _without_ones(wanted):
        _reshape(network.graph, np.array(wanted))
        sizes = wanted
    if task.classifies and len(sizes) == 2 and sizes[0] == 1 and sizes[1] not in (None, task.classes):
        raise ExplorerError(f"the network tells {sizes[1]} classes apart, and the data set has {task.classes}")
    fits = sizes == wanted if task.classifies else sizes[:1] == [1] and None not in sizes
    if not fits:
        known = f"of shape {_text(sizes)}" if sizes else "whose shape is not known"
        allowed = _text(wanted) if task.classifies else "1 and sizes that are fixed"
        hint = f"; the network takes {batch} at once: {EXPORT_AGAIN}" if batch > 1 else ""
        raise ExplorerError(f"the network has an output {known} for an image; allowed: {allowed}{hint}")
    del network.graph.output[:]
    network.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, sizes))
    return _valid(network)


def _without_ones(sizes: Sizes) -> list[int | None]:
    return [size for size in sizes if size != 1]


def _reshape(graph: onnx.GraphProto, sizes: NDArray[np.int64]) -> None:
    """Give the output, of a network for one image, other `sizes` that hold as many numbers."""
    inside, wanted = f"{OUTPUT}_inside", f"{OUTPUT}_shape"
    _rename(graph, {OUTPUT: inside})
    if len(sizes) == 2:
        graph.node.append(helper.make_node("Flatten", [inside], [OUTPUT], axis=1))
    else:
        graph.initializer.append(numpy_helper.from_array(sizes, wanted))
        graph.node.append(helper.make_node("Reshape", [inside, wanted], [OUTPUT]))


def _valid(network: onnx.ModelProto) -> onnx.ModelProto:
    assert opset(network), "the optimizer keeps the version of the operators"
    network = onnx.shape_inference.infer_shapes(network, data_prop=True)
    try:
        onnx.checker.check_model(network)
    except onnx.checker.ValidationError as error:
        raise ExplorerError(f"the network is no valid ONNX: {' '.join(str(error).split())}") from error
    return network


def answer_of(network: onnx.ModelProto) -> tuple[int, ...]:
    """Return the shape of what a network that `fit` returned answers for an image."""
    return tuple(size.dim_value for size in network.graph.output[0].type.tensor_type.shape.dim)[1:]
