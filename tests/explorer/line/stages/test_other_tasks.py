"""Numbers and masks down the stages of torch: what is answered and checked, on some of the images or on all."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.datasets import Held, Options, Splits, stratified
from explorer.line.checking.drawing import draw
from explorer.line.checking.reference import sampled
from explorer.line.prepared import Prepared
from tests import torch_stages

MODULE = "other_tasks_of_a_user"
NUMBERS, MASKS, BUILD, HALVED = (f"{MODULE}:{name}" for name in ("numbers", "masks", "build", "halved"))
SOME = 9


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (80, 1, 8, 8), np.uint8)
    means = images.reshape(80, -1).mean(1) / 255

    def splits(labels: np.ndarray, classes: tuple[str, ...]) -> Splits:
        rest, test = stratified(Held(images, labels), 0.25, 0)
        return Splits(*stratified(rest, 0.25, 0), test, classes)

    def numbers(options: Options) -> Splits:
        return splits(np.stack([means, 1 - means, means], 1), ())

    def masks(options: Options) -> Splits:
        return splits(images[:, 0] // 128, ("dark", "bright"))

    def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        return nn.Sequential(nn.Conv2d(shape[0], 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, classes))

    def halved(model: nn.Sequential, ratio: float, example: object, fine_tune: object) -> nn.Module:
        return nn.Sequential(*model[:-1], nn.Linear(8 * 36, 1))

    module = types.ModuleType(MODULE)
    for function in (numbers, masks, build, halved):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, MODULE, module)


def test_torch_answers_the_images_that_are_evaluated_alone(tmp_path: Path) -> None:
    data = torch_stages.data(tmp_path, NUMBERS)
    assert (data.values["task"], data.values["classes"], data.values["target_shape"]) == ("numbers", 3, [3])
    trained = torch_stages.train(tmp_path, data, BUILD, 1.0, answered=SOME, epochs=1, learning_rate=0.01)
    compressed = torch_stages.compress(tmp_path, data, trained, "none", None, BUILD, 1.0, SOME)
    splits, model = Prepared.load(data), sys.modules[MODULE].build(1.0, 3, (1, 8, 8))
    model.load_state_dict(torch.load(trained.path / "weights.pt", weights_only=True))
    for images, split, name in (
        (splits.validation, "validation", "torch_loss"),
        (splits.test, "test", "torch_test_loss"),
    ):
        drawn = draw(np.zeros(len(images), np.int64), SOME, 0)
        outputs = model(torch.from_numpy(images.normalised(images.pixels(drawn)))).detach().numpy()
        with np.load(compressed.path / "answers.npz") as answers:
            np.testing.assert_array_equal(answers[f"{split}_images"], drawn)
            np.testing.assert_allclose(answers[split], outputs, atol=1e-6)
        assert compressed.values[name] == pytest.approx(((outputs - images.labels[drawn]) ** 2).mean())
    assert trained.values["validation_loss"] == pytest.approx(compressed.values["torch_loss"])


def test_a_compression_that_changes_the_shape_of_the_answer_is_refused(tmp_path: Path) -> None:
    data = torch_stages.data(tmp_path, NUMBERS)
    trained = torch_stages.train(tmp_path, data, BUILD, 1.0, epochs=1, learning_rate=0.01)
    with pytest.raises(StageFailed, match=r"gives shape \(1, 1\) for an image instead of \(1, 3\)"):
        torch_stages.compress(tmp_path, data, trained, HALVED, 0.5, BUILD, 1.0)


@pytest.mark.parametrize(("settings", "said"), [({"resize": 16}, "resize = 16"), ({"crop": 0.5}, "crop = 0.5")])
def test_images_do_not_move_without_their_masks(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=f"{said} moves images and not their targets, which data set {MASKS} has"):
        torch_stages.data(tmp_path, MASKS, **settings)
    assert torch_stages.data(tmp_path, NUMBERS, resize=16).values["shape"] == [1, 16, 16]


@pytest.mark.parametrize("some", [0, SOME], ids=["all images", "some images"])
def test_an_onnx_file_answers_what_the_model_in_torch_does(some: int, tmp_path: Path) -> None:
    data = torch_stages.data(tmp_path, MASKS)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2, 2)).eval()
    torch.onnx.export(model, (torch.zeros(1, 1, 8, 8),), tmp_path / "net.onnx", dynamo=True, verbose=False)
    answered = {"answered_images": some, "answered_seed": 0} if some else {}
    file, choice = Artifact("onnx", "onnx", tmp_path / "net.onnx"), {"tolerance": 1e-3, **answered}
    adopted = torch_stages.execute("adopt", tmp_path, {"model": "onnx:net.onnx", **choice}, data=data, network=file)
    assert "validation_accuracy" not in adopted.values
    half = torch_stages.execute("prune", tmp_path, {"ratio": 0.5, "scores": "l1", **choice}, data=data, train=adopted)
    assert half.values["removed_weights"] == pytest.approx(0.5, abs=0.02)
    splits = Prepared.load(data)
    for made in (adopted, half):
        for images, split in ((splits.validation, "validation"), (splits.test, "test")):
            drawn = draw(np.zeros(len(images), np.int64), some, 0)
            outputs = torch_stages.onnx_outputs(made.path / "network.onnx", images.normalised(images.pixels(drawn)))
            with np.load(made.path / "answers.npz") as answers:
                np.testing.assert_array_equal(answers[f"{split}_images"], drawn)
                np.testing.assert_allclose(answers[split], sampled(outputs), atol=1e-5)
                assert f"{split}_margins" not in answers
    theirs = model(torch.from_numpy(splits.test[:])).detach().numpy()
    np.testing.assert_allclose(
        torch_stages.onnx_outputs(adopted.path / "network.onnx", splits.test[:]), theirs, atol=1e-5
    )
