"""Stages ``adopt`` and ``prune``: the answers of an ONNX file's network are those of the model that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.settings import QuantizeSettings
from explorer.line.adopting import answers, fitting
from explorer.line.checking.reference import ANSWERS, Reference
from explorer.line.prepared import Prepared
from explorer.line.task import LABELS, Task
from explorer.line.training import predictions
from explorer.models import builder
from tests import torch_stages
from tests.explorer.line.adopting import files

CHOICE = {"model": "onnx:net.onnx", "tolerance": 1e-3}


def adopt(folder: Path, digits: Artifact, file: Path, **answered: int) -> Artifact:
    return torch_stages.execute(
        "adopt", folder, {**CHOICE, **answered}, data=digits, network=Artifact("onnx", "file", file)
    )


def prune(folder: Path, digits: Artifact, adopted: Artifact, ratio: float | None = None) -> Artifact:
    parameters = {"ratio": ratio, "scores": None if ratio is None else "l1", "tolerance": 1e-3}
    return torch_stages.execute("prune", folder, parameters, data=digits, train=adopted)


@pytest.fixture(scope="module")
def adopted(digits: Artifact, trained: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The trained ResNet-18, exported for any number of images."""
    folder = tmp_path_factory.mktemp("adopted")
    model = builder("resnet18")(0.125, 10, (1, 8, 8))
    model.load_state_dict(torch.load(trained.path / "weights.pt", weights_only=True))
    options: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(model.eval(), (torch.zeros(2, 1, 8, 8),), folder / "net.onnx", dynamo=False, **options)
    return adopt(folder, digits, folder / "net.onnx")


def test_it_answers_as_the_model_in_torch_does(digits: Artifact, trained: Artifact, adopted: Artifact) -> None:
    assert adopted.values["validation_accuracy"] == trained.values["validation_accuracy"]
    splits = Prepared.load(digits)
    indices = np.arange(len(splits.validation))
    theirs = predictions.load(trained.path / ANSWERS, "validation", indices)
    ours = predictions.load(adopted.path / ANSWERS, "validation", indices)
    assert theirs is not None
    assert ours is not None
    np.testing.assert_array_equal(ours.classes, theirs.classes)
    np.testing.assert_allclose(ours.margins, theirs.margins, atol=1e-3)
    reference = Reference.load(adopted.path)
    logits = torch_stages.onnx_outputs(adopted.path / "network.onnx", reference.images)
    assert reference.deviations(logits).max() < 1e-5


def test_nothing_is_removed_without_a_ratio(digits: Artifact, adopted: Artifact, tmp_path: Path) -> None:
    plain = prune(tmp_path, digits, adopted)
    assert plain.values["torch_accuracy"] == adopted.values["validation_accuracy"]
    assert plain.values["removed_weights"] == 0
    assert plain.values["weights"] == plain.values["weights_before"] == plain.values["nonzeros"]
    assert onnx.load(plain.path / "network.onnx") == onnx.load(adopted.path / "network.onnx")


def test_the_share_of_the_weights_is_zero_and_the_answers_are_those_of_the_rest(
    digits: Artifact, adopted: Artifact, tmp_path: Path
) -> None:
    half = prune(tmp_path, digits, adopted, 0.5)
    assert half.values["nonzeros"] == half.values["weights"] - round(0.5 * half.values["weights"])
    splits = Prepared.load(digits)
    logits = torch_stages.onnx_outputs(half.path / "network.onnx", splits.test[:])
    accuracy = float((logits.argmax(1) == splits.test.labels).mean())
    assert half.values["torch_test_accuracy"] == pytest.approx(accuracy, abs=0.003)
    with np.load(half.path / ANSWERS) as answers:
        assert (answers["test"] == logits.argmax(1)).mean() > 0.99
    assert (
        half.values["torch_test_accuracy"] != prune(tmp_path / "plain", digits, adopted).values["torch_test_accuracy"]
    )


def test_a_network_of_old_operators_is_one_that_int8_takes(digits: Artifact, tmp_path: Path) -> None:
    plain = prune(tmp_path, digits, adopt(tmp_path, digits, files.save(tmp_path, files.network(opset=13))))
    made = torch_stages.execute("quantize", tmp_path, QuantizeSettings().model_dump(), data=digits, compress=plain)
    assert 0 < Reference.load(plain.path).deviations(Reference.load(made.path).logits).max() < 0.1


def test_a_share_of_the_images_is_answered_where_the_study_asks_for_it(digits: Artifact, tmp_path: Path) -> None:
    made = adopt(tmp_path, digits, files.save(tmp_path), answered_images=50, answered_seed=1)
    with np.load(made.path / ANSWERS) as answers:
        assert answers["validation_images"].shape == answers["test"].shape == (50,)


def test_what_is_known_only_with_the_images_fails_the_trial(digits: Artifact, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"model onnx:net.onnx: the network takes images of 3x32x32, and the data"):
        adopt(tmp_path, digits, files.save(tmp_path, files.network(image=("n", 3, 32, 32))))


def test_a_library_that_departs_from_onnx_is_no_answer(
    digits: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a wrong import would: the network that is compiled has other weights than the one that NumPy computes."""
    other, compiled = (
        fitting.fit(files.network(constants=files.weights(seed=1)), files.GREY, Task(LABELS, 10)),
        answers._Compiled,
    )
    monkeypatch.setattr(answers, "_Compiled", lambda network: compiled(other))
    with pytest.raises(StageFailed, match=r"departs from onnx's own operators by .* of their range; allowed: 0.001"):
        adopt(tmp_path, digits, files.save(tmp_path))
