"""Trained weights and a compression's name → network.onnx, its cost, and torch's answers to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from explorer.compression import FineTune, compressor, make_plain, noted
from explorer.core import plugins
from explorer.core.configuration import parts, takes_ratio
from explorer.core.errors import Failure, StageFailed
from explorer.core.settings import CompressSettings
from explorer.datasets import Indices
from explorer.line import costs
from explorer.line.checking import drawing
from explorer.line.checking.reference import ANSWERS, SPLITS, Reference
from explorer.line.contracts.compress import Parameters, Parents, Reached, Told, Values
from explorer.line.prepared import Inputs, Prepared
from explorer.line.training import accounting, predictions, training
from explorer.line.training.losses import Loss
from explorer.line.training.onnx_export import export
from explorer.line.training.recipe import Recipe

VERSION = 4
WORKER = "torch"

ROUNDING = 1e-6  # thirds of an epoch add up to a whole one


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Compress and fine-tune the trained model, export it, and write torch's answers.

    ``answers.npz`` has the class of each validation and test image, by how much its logit exceeds the next one, and
    which images they are; of another task than classes, some values of each image's output in place of both.
    ``reference.npz`` has the first test images with their logits.

    Raises
    ------
    StageFailed
        If the loss is no longer finite, or memory runs out.
    """
    splits = Prepared.load(parents.data)
    training.make_reproducible(parameters.settings.seed if parameters.settings else 0)
    loss = Loss(parameters.loss.loss if parameters.loss else "", splits.task)
    model = training.build_model("compress", parameters.model, parameters.width, splits.shape, loss)
    model.load_state_dict(torch.load(parents.train.path / "weights.pt", weights_only=True))
    model = make_plain(model)
    example = torch.zeros(1, *splits.shape)
    before, parameters_before = accounting.account(model, example), accounting.parameters(model)
    given = _shape(model, example)
    with noted() as notes:
        model = _compressed(model, parameters, splits, loss)
    _check(_shape(model, example), given)
    after = accounting.account(model, example)
    export(model, example, out / "network.onnx")
    images = Reference.inputs(splits)
    Reference(images, predictions.logits(model, images).numpy()).save(out)
    reached = _answer(model, parameters, parents, splits, loss, out)
    told: Told = {"note": "; ".join(notes)} if notes else {}
    return {
        **reached,
        **told,
        **costs.compared(before, after),
        "parameters": accounting.parameters(model),
        "parameters_before": parameters_before,
        "kept_in_multiples_of": parameters.channel_multiple,
    }


@torch.no_grad()
def _shape(model: nn.Module, example: Tensor) -> tuple[int, ...]:
    """Return the shape of the answer for one image."""
    return tuple(model.eval()(example).shape)


def _check(found: tuple[int, ...], given: tuple[int, ...]) -> None:
    """Raise StageFailed unless a compressed model still answers an image as the trained one did."""
    if found != given:
        message = f"the compressed network gives shape {found} for an image instead of {given}"
        raise StageFailed(Failure("compress", "unsupported", message))


def _answer(
    model: nn.Module, parameters: Parameters, parents: Parents, splits: Prepared, loss: Loss, out: Path
) -> Reached:
    """Write what `model` answers for validation and test images; return what that reaches on both."""
    strata = {split: splits.task.strata(getattr(splits, split).labels) for split in SPLITS}
    answered = {split: drawing.answered(strata[split], parameters.answered) for split in SPLITS}
    if not splits.task.classifies:
        return _sample(model, splits, loss, answered, out)
    trained = parents.train.path / ANSWERS if parameters.compression == "none" else None
    decided, accuracies = {}, {}
    for split, indices in answered.items():
        images: Inputs = getattr(splits, split)
        known = predictions.load(trained, split, indices) if trained else None
        decided[split] = indices, known or predictions.decisions(model, images, indices)
        accuracies[split] = float((decided[split][1].classes == images.labels[indices]).mean())
    predictions.save(out / ANSWERS, decided)
    return {"torch_accuracy": accuracies["validation"], "torch_test_accuracy": accuracies["test"]}


def _sample(model: nn.Module, splits: Prepared, loss: Loss, answered: Mapping[str, Indices], out: Path) -> Reached:
    """Do the same for another task than classes; some values of each output are written."""
    images: dict[str, Inputs] = {split: getattr(splits, split) for split in answered}
    some = {split: (indices, predictions.samples(model, images[split], indices)) for split, indices in answered.items()}
    predictions.save_samples(out / ANSWERS, some)
    batch = predictions.batch_size(splits.shape[1:])
    losses = {split: loss.mean(model, images[split], indices, batch) for split, indices in answered.items()}
    return {"torch_loss": losses["validation"], "torch_test_loss": losses["test"]}


def _compressed(model: nn.Module, parameters: Parameters, splits: Prepared, loss: Loss) -> nn.Module:
    example = torch.from_numpy(splits.train[:1])
    given = parameters.as_json()
    for name in parts(parameters.compression):
        ratio = parameters.ratio if takes_ratio(name) else None
        options = {option: given[option] for option in plugins.literal("compression", name, "OPTIONS", default=())}
        fine_tune = fine_tuning(parameters.settings, splits, loss)
        model = compressor(name)(model, ratio, example, fine_tune, **options)
    return model.eval()


def fine_tuning(settings: CompressSettings | None, splits: Prepared, loss: Loss | None = None) -> FineTune:
    """Return the function that spends the fine-tuning epochs, in whole ones: it adds the rest of a share to the next.

    Without settings nothing is removed, and no compression calls it.
    """
    asked, spent = 0.0, 0

    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        nonlocal asked, spent
        assert settings is not None
        recipe = Recipe.of(settings)
        recipe = replace(recipe, learning_rate=pace * recipe.learning_rate)
        asked += share
        epochs = int(asked * recipe.epochs + ROUNDING) - spent
        spent += epochs
        training.fit("compress", model, splits.train, recipe, epochs, loss=loss)

    return fine_tune
