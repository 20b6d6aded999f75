"""Files that other exporters write: those that come down the line compute what they did, others say why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from explorer.line.adopting import check, fitting, reading
from explorer.line.task import LABELS, MASKS, NUMBERS, Task
from tests.explorer.line.adopting.files import CHANNELS, GREY, TAIL, Node, later, network, save, weights

COLOUR = (3, 9, 9)
TEN = Task(LABELS, 10)
DIGITS = {"digits": {"task": LABELS, "classes": 10, "targets": (), "shape": GREY}}


def run(model: onnx.ModelProto, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    (logits,) = session.run(None, {source.name: images})
    return np.asarray(logits, np.float32)


def images(shape: tuple[int, ...], count: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((count, *shape)).astype(np.float32)


def test_a_network_for_any_number_of_images_of_any_size_is_taken_for_one(tmp_path: Path) -> None:
    path = save(tmp_path, network(image=("n", 1, "h", "w")), beside=True)
    assert check.why_not(str(path), DIGITS) is None
    model = onnx.load(path)
    taken = fitting.fit(reading.read(path), GREY, TEN)
    assert [size.dim_value for size in taken.graph.input[0].type.tensor_type.shape.dim] == [1, *GREY]
    assert (taken.graph.input[0].name, taken.graph.output[0].name) == ("image", "logits")
    given = images(GREY)
    assert np.allclose(run(taken, given), run(model, given), atol=1e-5)


def test_a_network_for_a_fixed_number_of_images_is_taken_for_one(tmp_path: Path) -> None:
    nodes = [*TAIL[:3], ("Reshape", ("2", "shape"), {}), ("Gemm", ("3", "head.weight"), {"transB": 1})]
    model = network(nodes, (5, *GREY), {**weights(), "shape": np.array([5, -1])})
    taken = fitting.fit(reading.read(save(tmp_path, model)), GREY, TEN)
    given = images(GREY, 5)
    for image, logits in zip(given, run(model, given), strict=True):
        assert np.allclose(run(taken, image[np.newaxis])[0], logits, atol=1e-5)


@pytest.mark.parametrize("turns", [True, False], ids=["turned in the network", "turned before it"])
def test_a_network_of_images_with_channels_last_takes_them_first(turns: bool, tmp_path: Path) -> None:
    if turns:  # as networks of TensorFlow begin
        nodes: list[Node] = [("Transpose", ("x",), {"perm": (0, 3, 1, 2)}), STEM, *later(TAIL[1:])]
    else:
        nodes = [
            ("MatMul", ("x", "pixel.weight"), {}),
            ("Transpose", ("0",), {"perm": (0, 3, 1, 2)}),
            ("Conv", ("1", "stem.weight"), {}),
            *later(TAIL[1:], 2),
        ]
    pixel = np.random.default_rng(2).standard_normal((3, 3)).astype(np.float32)
    model = network(nodes, ("n", 9, 9, 3), {**weights(3), **({} if turns else {"pixel.weight": pixel})})
    taken = fitting.fit(reading.read(save(tmp_path, model)), COLOUR, TEN)
    given = images(COLOUR)
    assert np.allclose(run(taken, given), run(model, given.transpose(0, 2, 3, 1)), atol=1e-5)
    assert [node.op_type for node in taken.graph.node].count("Transpose") == (0 if turns else 2)


def test_widths_of_padding_that_the_network_computes_are_constants(tmp_path: Path) -> None:
    """As PyTorch's older exporter writes them."""
    nodes: list[Node] = [
        ("ConstantOfShape", ("four",), {"value": numpy_helper.from_array(np.array([0]))}),
        ("Concat", ("0", "widths"), {"axis": 0}),
        ("Pad", ("x", "1"), {}),
        ("Conv", ("2", "stem.weight"), {}),
        *later(TAIL[1:], 3),
    ]
    model = network(nodes, constants={**weights(), "four": np.array([4]), "widths": np.array([0, 0, 2, 3])})
    taken = fitting.fit(reading.read(save(tmp_path, model)), GREY, TEN)
    assert "ConstantOfShape" not in {node.op_type for node in taken.graph.node}
    assert np.allclose(run(taken, images(GREY)), run(model, images(GREY)), atol=1e-5)


def test_an_output_of_one_pixel_is_one_of_classes_and_old_operators_are_converted(tmp_path: Path) -> None:
    head = weights()["head.weight"][:, :, np.newaxis, np.newaxis]
    nodes = [*TAIL[:3], ("Conv", ("2", "head"), {})]
    model = network(nodes, ("n", *GREY), {"stem.weight": weights()["stem.weight"], "head": head}, opset=9)
    taken = fitting.fit(reading.read(save(tmp_path, model)), GREY, TEN)
    assert reading.opset(taken) >= reading.OPSET
    assert np.allclose(run(taken, images(GREY)), run(model, images(GREY))[:, :, 0, 0], atol=1e-5)


PIXELS: list[Node] = [*TAIL[:2], ("Transpose", ("1",), {"perm": (0, 2, 3, 1)})]


@pytest.mark.parametrize(
    ("nodes", "task", "answer"),
    [
        pytest.param(TAIL[:2], Task(MASKS, CHANNELS, (8, 8)), (CHANNELS, 8, 8), id="a class for each pixel"),
        pytest.param(TAIL[:2], Task(MASKS, 2, (8, 8)), (CHANNELS, 8, 8), id="what the metric may make classes of"),
        pytest.param(PIXELS, Task(MASKS, CHANNELS, (8, 8)), (8, 8, CHANNELS), id="channels last"),
        pytest.param(TAIL, Task(NUMBERS, 10, (10,)), (10,), id="numbers"),
        pytest.param(
            TAIL[:3], Task(NUMBERS, CHANNELS, (CHANNELS,)), (CHANNELS,), id="numbers as an image of one pixel"
        ),
        pytest.param(TAIL[:3], Task(NUMBERS, 1, (1, CHANNELS)), (1, CHANNELS), id="numbers in a row"),
        pytest.param(
            [*TAIL[:4], ("ReduceSum", ("3", "one"), {"keepdims": 0})], Task(NUMBERS, 1, (1,)), (1,), id="one number"
        ),
    ],
)
def test_what_networks_for_other_tasks_answer_is_the_metrics_to_judge(
    nodes: list[Node], task: Task, answer: tuple[int, ...], tmp_path: Path
) -> None:
    model = network(nodes, constants={**weights(), "one": np.array([1])})
    taken = fitting.fit(reading.read(save(tmp_path, model)), GREY, task)
    assert fitting.answer_of(taken) == answer
    given = images(GREY)
    assert np.allclose(run(taken, given), run(model, given).reshape(1, *answer), atol=1e-5)


def test_an_answer_whose_size_depends_on_the_image_is_refused(tmp_path: Path) -> None:
    found: list[Node] = [*TAIL[:2], ("NonZero", ("1",), {}), ("Cast", ("2",), {"to": TensorProto.FLOAT})]
    look = {"task": NUMBERS, "classes": 4, "targets": (4,), "shape": GREY}
    said = check.why_not(str(save(tmp_path, network(found))), {"boxes": look})
    assert said == (
        "on data set boxes: the network has an output of shape 4x? for an image; allowed: 1 and sizes that are fixed"
    )


def test_weights_that_nodes_hold_and_names_that_the_line_gives_stay_apart(tmp_path: Path) -> None:
    model = network([*TAIL[:1], ("Identity", ("0",), {}), *later(TAIL[1:], 1)])
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "image"
    tensor = model.graph.initializer[0]
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [tensor.name], value=tensor))
    del model.graph.initializer[0]
    taken = fitting.fit(reading.read(save(tmp_path, model)), GREY, TEN)
    assert tensor.name in {each.name for each in taken.graph.initializer}
    assert np.allclose(run(taken, images(GREY)), run(model, images(GREY)), atol=1e-5)


def edited(edit: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = network()
    edit(model)
    return model


def half() -> onnx.ModelProto:
    constants = {name: array.astype(np.float16) for name, array in weights().items()}
    return network(constants=constants, dtype=TensorProto.FLOAT16)


SEVEN = {"head.weight": np.ones((7, CHANNELS), np.float32), "head.bias": np.ones(7, np.float32)}
SCALE = {"scale": np.array(0.1, np.float32)}
STEM: Node = ("Conv", ("0", "stem.weight"), {})
UNKNOWN: list[Node] = [("Bend", ("x",), {"domain": "own"}), STEM, *later(TAIL[1:])]
INVENTED: list[Node] = [("Bend", ("x",), {}), STEM, *later(TAIL[1:])]
WITHOUT_TVM: list[Node] = [("Celu", ("x",), {}), STEM, *later(TAIL[1:])]
PAIR: tuple[Node, ...] = (("QuantizeLinear", ("x", "scale"), {}), ("DequantizeLinear", ("0", "scale"), {}))
QDQ: list[Node] = [*PAIR, ("Conv", ("1", "stem.weight"), {}), *later(TAIL[1:], 2)]
MIXING: list[Node] = [*TAIL[:4], ("Concat", ("3", "row"), {"axis": 0}), ("Gemm", ("4", "head.weight"), {"transB": 1})]
SUMMED: list[Node] = [*TAIL, ("ReduceMean", ("4",), {"axes": [0]}), ("Add", ("4", "5"), {})]
REFUSED = {
    "the network tells 7 classes apart, and the data set has 10": network(constants={**weights(), **SEVEN}),
    "the network takes images of 3x32x32, and the data set has 1x8x8": network(image=("n", 3, 32, 32)),
    "the network takes images of 64, and the data set has 1x8x8": network(image=("n", 64)),
    "the network has 2 inputs, 'x', 'mask'; allowed: one": network(inputs=("x", "mask")),
    "the network has 2 outputs, '4', '2'; allowed: one": network(outputs=("4", "2")),
    "the network has an output of shape 1x4x8x8 for an image; allowed: 1x10": network(TAIL[:2]),
    "the network has inputs of type uint8, 'x'; allowed: float32": network(dtype=TensorProto.UINT8),
    "has weights in float16, such as 'stem.weight'; export it in float32, which compression": half(),
    "is quantized already, by QuantizeLinear 'node0'": network(QDQ, constants={**weights(), **SCALE}),
    "is of opset 99; allowed: up to ": network(opset=99),
    "has Bend 'node0', which onnx ": network(INVENTED),
    "has Bend 'node0', of 'own'; allowed: ONNX's own operators": network(UNKNOWN),
    "TVM does not import the network, at Celu 'node0'": network(WITHOUT_TVM),
    "of shape 6x10 for an image; allowed: 1x10; the network takes 5 at once: export it for one": network(
        MIXING, (5, *GREY), {**weights(), "row": np.ones((5, CHANNELS), np.float32)}
    ),
    "takes 5 images at once and answers one alone otherwise; export it for one image": network(
        SUMMED, (5, *GREY), weights()
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_other_files_are_refused_in_one_sentence(message: str, tmp_path: Path) -> None:
    said = check.why_not(str(save(tmp_path, REFUSED[message])), DIGITS)
    assert said is not None
    assert message in said
    assert "\n" not in said


def test_files_that_are_none_or_lack_their_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    assert check.why_not(str(tmp_path / "text.onnx"), {}) == f"{tmp_path}/text.onnx is no ONNX file, or is damaged"
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert "has no network in it" in str(check.why_not(str(tmp_path / "empty.onnx"), {}))
    path = save(tmp_path, beside=True)
    (tmp_path / "net.onnx.data").write_bytes(b"too short")
    assert f"the weights beside {path} cannot be read" in str(check.why_not(str(path), {}))
    (tmp_path / "net.onnx.data").unlink()
    assert "its weights in the file 'net.onnx.data', which is not in the same" in str(check.why_not(str(path), {}))
    model = network()
    model.ir_version = 99
    assert "is of version 99 of ONNX's format; allowed: up to " in str(check.why_not(str(save(tmp_path, model)), {}))


def test_a_network_that_is_fine_without_known_images_is_not_refused(tmp_path: Path) -> None:
    assert check.why_not(str(save(tmp_path)), {}) is None
    assert numpy_helper.to_array(reading.read(save(tmp_path)).graph.initializer[0]).shape == (CHANNELS, 1, 3, 3)
