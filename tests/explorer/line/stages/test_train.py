from __future__ import annotations

from pathlib import Path

import pytest
import torch

from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.settings import TrainSettings
from tests import torch_stages


def test_a_few_epochs_read_digits(trained: Artifact) -> None:
    assert trained.values["validation_accuracy"] > 0.7
    weights = torch.load(trained.path / "weights.pt", weights_only=True)
    assert weights["conv1.weight"].shape == (8, 1, 3, 3)
    assert trained.values["parameters"] > 100_000


@pytest.mark.nightly
@pytest.mark.parametrize("model", ["resnet18", "mobilenetv2"])
def test_the_default_settings_read_digits_well(model: str, digits: Artifact, tmp_path: Path) -> None:
    default = TrainSettings().model_dump()
    trained = torch_stages.train(tmp_path, digits, model, 0.25, **default)
    assert trained.values["validation_accuracy"] > 0.96


def test_equal_parameters_give_equal_weights(digits: Artifact, tmp_path: Path) -> None:
    def weights(folder: str, seed: int) -> dict[str, torch.Tensor]:
        trained = torch_stages.train(tmp_path / folder, digits, "vgg16", 0.125, epochs=1, seed=seed)
        state: dict[str, torch.Tensor] = torch.load(trained.path / "weights.pt", weights_only=True)
        return state

    first, second, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_loss_that_is_not_finite_is_a_failure(digits: Artifact, tmp_path: Path) -> None:
    advice = r"the loss became .*; lower \[train\] learning_rate \(now 1000\), for example to 250"
    with pytest.raises(StageFailed, match=advice) as failed:
        torch_stages.train(tmp_path, digits, learning_rate=1e3)
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("train", "not_finite")
    assert "learning_rate=1000.0" in failed.value.failure.log


def test_a_model_of_the_users_own(branching: Artifact) -> None:
    assert branching.values["validation_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("needs_large_images", "cannot take images of shape"),
        ("two_outputs_too_many", r"gives shape \(2, 12\) for 2 images instead of \(2, 10\)"),
    ],
)
def test_a_model_that_does_not_fit_the_images_is_a_failure(
    model: str, reason: str, digits: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(StageFailed, match=reason) as failed:
        torch_stages.train(tmp_path, digits, f"tests.custom_plugins:{model}")
    assert failed.value.failure.kind == "unsupported"
