"""Losses by name and of the user's own: what they compute, and what is wrong with one in one sentence."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.core.errors import StageFailed
from explorer.core.settings import LOSSES
from explorer.datasets import Held
from explorer.line.prepared import Inputs
from explorer.line.task import LABELS, MASKS, NUMBERS, VOID, Task
from explorer.line.training.losses import Loss

MODULE = "losses_of_a_user"
MAPS = Task(MASKS, 3, (4, 4))
PAIRS = Task(NUMBERS, 2, (2,))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def images(targets: np.ndarray) -> Inputs:
    return Inputs(Held(np.zeros((len(targets), 1, 4, 4), np.uint8), targets), np.zeros(1), np.ones(1))


def test_pixels_of_unknown_class_do_not_count() -> None:
    outputs, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4)).to(torch.uint8)
    masks[0] = VOID
    expected = F.cross_entropy(outputs[1:], masks[1:].long())
    assert Loss("", MAPS).function()(outputs, masks) == pytest.approx(expected.item())


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "cross_entropy"])
def test_numbers_are_compared_one_by_one(name: str) -> None:
    loss = Loss(name, PAIRS)
    assert loss.wrong(torch.zeros(2, 2)) is None
    assert "shape (2, 3) for 2 images instead of (2, 2), which loss" in (loss.wrong(torch.zeros(2, 3)) or "")
    right, wrong = (loss.function()(outputs, torch.ones(5, 2)) for outputs in (torch.ones(5, 2), -torch.ones(5, 2)))
    assert 0 <= right < wrong
    with pytest.raises(StageFailed, match=f"loss '{name}' compares numbers, and the images .* have labels"):
        Loss(name, Task(LABELS, 2)).check("train", nn.Identity(), images(np.array([0, 1])))


def test_whole_numbers_come_to_a_loss_of_the_users_own_as_torch_takes_them(own: types.ModuleType) -> None:
    setattr(own, "loss", F.cross_entropy)  # noqa: B010
    outputs, masks = torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)
    found = Loss(f"{MODULE}:loss", MAPS).function()(outputs, masks)
    assert found == pytest.approx(F.cross_entropy(outputs, masks.long()).item())


def test_a_network_that_gives_no_tensor_of_an_images_answer_is_refused() -> None:
    assert Loss("", Task(LABELS, 3)).wrong(torch.zeros(2, 3)) is None
    assert Loss("", Task(LABELS, 3)).wrong(torch.zeros(2, 4)) == "shape (2, 4) for 2 images instead of (2, 3)"
    assert Loss("", MAPS).wrong(torch.zeros(2, 3, 4, 4)) is None
    assert "which loss cross_entropy of masks needs" in (Loss("", MAPS).wrong(torch.zeros(2, 3)) or "")
    assert Loss("", MAPS).wrong((1, 2)) == "a tuple instead of one tensor, (N, …)"
    assert Loss(f"{MODULE}:loss", PAIRS).wrong(torch.zeros(2, 7, 3)) is None, "its own loss takes any shape"
    assert "must give floats" in (Loss(f"{MODULE}:loss", PAIRS).wrong(torch.zeros(1, 2)) or "")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (lambda outputs, targets: 0.5, "gives a float, not a scalar tensor, on outputs of shape"),
        (lambda outputs, targets: (outputs - targets).abs(), r"gives shape \(2, 2\), not a scalar"),
        (lambda outputs, targets: targets.mean(), "gives a tensor that does not depend on the outputs"),
        (lambda outputs, targets: outputs.mean() * torch.nan, "gives nan"),
        (lambda outputs, targets: outputs @ targets[:1], "raises RuntimeError: "),
        (lambda outputs, targets: F.mse_loss(outputs, targets), None),
    ],
)
def test_a_loss_of_the_users_own_is_tried_before_training(
    found: object, said: str | None, own: types.ModuleType
) -> None:
    setattr(own, "loss", found)  # noqa: B010
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    loss = Loss(f"{MODULE}:loss", PAIRS)
    if said is None:
        loss.check("train", model, images(np.ones((3, 2), np.float32)))
        return
    with pytest.raises(StageFailed, match=said) as failed:
        loss.check("train", model, images(np.ones((3, 2), np.float32)))
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("train", "loss")


def test_the_mean_does_not_depend_on_the_batch() -> None:
    class Constant(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.full((len(image), 2), 0.5)

    own = images(np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32))
    means = [Loss("", PAIRS).mean(Constant(), own, np.arange(7), batch) for batch in (1, 3, 7)]
    assert means == pytest.approx([float(((own.labels - 0.5) ** 2).mean())] * 3)
