"""Trained weights and a compression's name → network.onnx, its cost, and torch's answers to compare with."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from explorer.compression import FineTune, compressor, make_plain, noted
from explorer.core import plugins
from explorer.core.configuration import parts, takes_ratio
from explorer.core.errors import Failure, StageFailed
from explorer.core.settings import CompressSettings
from explorer.line.checking import drawing
from explorer.line.checking.reference import ANSWERS, SPLITS, Reference
from explorer.line.contracts.compress import Parameters, Parents, Values
from explorer.line.prepared import Prepared
from explorer.line.training import accounting, predictions, training
from explorer.line.training.onnx_export import export

VERSION = 4
WORKER = "torch"

FLOAT32_BYTES = 4
ROUNDING = 1e-6  # thirds of an epoch add up to a whole one


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Compress and fine-tune the trained model, export it, and write torch's answers.

    ``answers.npz`` has the class of each validation and test image, by how much its logit exceeds the next one, and
    which images they are; ``reference.npz`` has the first test images with their logits.

    Raises
    ------
    StageFailed
        If the loss is no longer finite, or memory runs out.
    """
    splits = Prepared.load(parents.data)
    training.make_reproducible(parameters.settings.seed if parameters.settings else 0)
    model = training.build_model(
        "compress", parameters.model, parameters.width, parents.data.values["classes"], splits.shape
    )
    model.load_state_dict(torch.load(parents.train.path / "weights.pt", weights_only=True))
    model = make_plain(model)
    example = torch.zeros(1, *splits.shape)
    before, parameters_before = accounting.account(model, example), accounting.parameters(model)
    with noted() as notes:
        model = _compressed(model, parameters, splits)
    _check(model, splits, parents.data.values["classes"])
    after = accounting.account(model, example)
    export(model, example, out / "network.onnx")
    images = Reference.inputs(splits)
    Reference(images, predictions.logits(model, images).numpy()).save(out)
    accuracies = _answer(model, parameters, parents, splits, out)
    whole, left = partial(accounting.total, before), partial(accounting.total, after)
    values: Values = {
        "torch_accuracy": accuracies["validation"],
        "torch_test_accuracy": accuracies["test"],
        "parameters": accounting.parameters(model),
        "parameters_before": parameters_before,
        "weights": left("weights"),
        "nonzeros": left("nonzeros"),
        "channels": left("channels"),
        "macs": left("macs"),
        "weights_before": whole("weights"),
        "nonzeros_before": whole("nonzeros"),
        "channels_before": whole("channels"),
        "macs_before": whole("macs"),
        "weight_bytes_before": FLOAT32_BYTES * whole("weights"),
        "kept_in_multiples_of": parameters.channel_multiple,
        "removed_weights": _removed(left("nonzeros"), whole("nonzeros")),
        "removed_channels": _removed(left("channels"), whole("channels")),
        "layers": {name: {"before": before[name], "after": after.get(name)} for name in before},
    }
    if notes:
        values["note"] = "; ".join(notes)
    return values


@torch.no_grad()
def _check(model: nn.Module, splits: Prepared, classes: int) -> None:
    """Raise StageFailed unless a compressed model still maps one image to its classes."""
    shape = tuple(model.eval()(torch.zeros(1, *splits.shape)).shape)
    if shape != (1, classes):
        message = f"the compressed network gives shape {shape} for an image instead of (1, {classes})"
        raise StageFailed(Failure("compress", "unsupported", message))


def _removed(left: int, whole: int) -> float:
    """Return the share that is gone; of nothing, nothing is."""
    return 1 - left / whole if whole else 0.0


def _answer(
    model: nn.Module, parameters: Parameters, parents: Parents, splits: Prepared, out: Path
) -> dict[str, float]:
    """Write what `model` makes of validation and test images; return its accuracy on both."""
    trained = parents.train.path / ANSWERS if parameters.compression == "none" else None
    decided = {}
    accuracies = {}
    for split in SPLITS:
        images = getattr(splits, split)
        answered = drawing.answered(images.labels, parameters.answered)
        known = predictions.load(trained, split, answered) if trained else None
        decided[split] = answered, known or predictions.decisions(model, images, answered)
        accuracies[split] = float((decided[split][1].classes == images.labels[answered]).mean())
    predictions.save(out / ANSWERS, decided)
    return accuracies


def _compressed(model: nn.Module, parameters: Parameters, splits: Prepared) -> nn.Module:
    example = torch.from_numpy(splits.train[:1])
    given = parameters.as_json()
    for name in parts(parameters.compression):
        ratio = parameters.ratio if takes_ratio(name) else None
        options = {option: given[option] for option in plugins.literal("compression", name, "OPTIONS", default=())}
        fine_tune = fine_tuning(parameters.settings, splits)
        model = compressor(name)(model, ratio, example, fine_tune, **options)
    return model.eval()


def fine_tuning(settings: CompressSettings | None, splits: Prepared) -> FineTune:
    """Return the function that spends the fine-tuning epochs, in whole ones: it adds the rest of a share to the next.

    Without settings nothing is removed, and no compression calls it.
    """
    asked, spent = 0.0, 0

    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        nonlocal asked, spent
        assert settings is not None
        recipe = training.Recipe.of(settings)
        recipe = replace(recipe, learning_rate=pace * recipe.learning_rate)
        asked += share
        epochs = int(asked * recipe.epochs + ROUNDING) - spent
        spent += epochs
        training.fit("compress", model, splits.train, recipe, epochs)

    return fine_tune
