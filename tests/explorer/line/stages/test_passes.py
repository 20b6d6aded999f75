"""How often a study with epochs = 0 decodes each image: once for the data set, and then those that it answers alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from explorer.core.artifact import Artifact
from explorer.datasets import Pixels, _files
from explorer.datasets._geometry import Geometry
from explorer.line.checking.drawing import draw
from explorer.line.checking.reference import REFERENCE_IMAGES
from explorer.line.prepared import Prepared
from explorer.line.task import LABELS, Task
from explorer.line.training import training
from explorer.line.training.losses import Loss
from tests import data_sets, torch_stages

COUNTS = {"train": 12, "val": 10, "test": 30}  # of each of three classes
ANSWERED = 9
NET = "tests.custom_plugins:branching"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Split → images that were decoded so far."""
    counts = Counter[str]()
    decode = _files.decoded

    def counted(path: Path, size: int, geometry: Geometry | None = None) -> Pixels | None:
        counts[path.parent.parent.name] += 1
        return decode(path, size, geometry)

    monkeypatch.setattr(_files, "decoded", counted)
    return counts


@pytest.fixture
def weights(tmp_path: Path) -> Artifact:
    model = training.build_model("train", NET, 0.5, (3, 16, 16), Loss("", Task(LABELS, 3)))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return Artifact("weights", "weights", tmp_path / "weights.pt")


def test_nothing_is_decoded_that_nobody_reads(tmp_path: Path, decoded: Counter[str], weights: Artifact) -> None:
    data = torch_stages.image_folder(tmp_path, data_sets.tree(tmp_path / "images", COUNTS))
    assert decoded == {split: 3 * count for split, count in COUNTS.items()}
    decoded.clear()
    trained = torch_stages.train(tmp_path, data, NET, 0.5, weights, ANSWERED, epochs=0, weights="file")
    assert decoded == {"val": 2 * ANSWERED}, "answered, and compared by how they may be normalised"
    decoded.clear()
    plain = torch_stages.compress(tmp_path / "plain", data, trained, "none", None, NET, 0.5, ANSWERED)
    assert decoded == {"train": 1, "test": REFERENCE_IMAGES + ANSWERED}, "validation was answered before"
    decoded.clear()
    torch_stages.compress(tmp_path / "pruned", data, trained, "weight_pruning", 0.5, NET, 0.5, ANSWERED, epochs=0)
    assert decoded == {"train": 1, "val": ANSWERED, "test": REFERENCE_IMAGES + ANSWERED}

    splits = Prepared.load(data)
    model = training.build_model("train", NET, 0.5, (3, 16, 16), Loss("", Task(LABELS, 3)))
    model.load_state_dict(torch.load(weights.path, weights_only=True))
    for split, name in (("validation", "torch_accuracy"), ("test", "torch_test_accuracy")):
        images = getattr(splits, split)
        drawn = draw(images.labels, ANSWERED, 0)
        logits = model.eval()(torch.from_numpy(images.normalised(images.pixels(drawn))))
        classes = logits.argmax(1).numpy()
        with np.load(plain.path / "answers.npz") as answers:
            np.testing.assert_array_equal(answers[split], classes)
            np.testing.assert_array_equal(answers[f"{split}_images"], drawn)
        assert plain.values[name] == (classes == images.labels[drawn]).mean()
    assert trained.values["validation_accuracy"] == plain.values["torch_accuracy"]


def test_answers_of_earlier_releases_or_of_other_images_are_taken_anew(
    tmp_path: Path, decoded: Counter[str], weights: Artifact
) -> None:
    data = torch_stages.image_folder(tmp_path, data_sets.tree(tmp_path / "images", COUNTS))
    trained = torch_stages.train(tmp_path, data, NET, 0.5, weights, epochs=0, weights="file")
    decoded.clear()
    torch_stages.compress(tmp_path / "other", data, trained, "none", None, NET, 0.5, ANSWERED)
    assert decoded["val"] == ANSWERED
    decoded.clear()
    torch_stages.compress(tmp_path / "same", data, trained, "none", None, NET, 0.5)
    assert decoded["val"] == 0
    (trained.path / "answers.npz").unlink()
    torch_stages.compress(tmp_path / "earlier", data, trained, "none", None, NET, 0.5)
    assert decoded["val"] == 3 * COUNTS["val"]
