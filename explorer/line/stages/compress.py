"""Trained weights and a compression's name → network.onnx, its cost, and torch's answers to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from explorer.compression import FineTune
from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import parts, takes_ratio
from explorer.line.checking.reference import ANSWERS, SPLITS, Reference
from explorer.line.prepared import Prepared
from explorer.line.training import accounting, training
from explorer.line.training.onnx_export import export

VERSION = 4
WORKER = "torch"

QUANTITIES = ("weights", "nonzeros", "channels", "macs")
FLOAT32_BYTES = 4
ROUNDING = 1e-6  # thirds of an epoch add up to a whole one


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Compress and fine-tune the trained model, export it, and write torch's answers.

    ``answers.npz`` has the class of each validation and test image, and by how much its logit exceeds the next one;
    ``reference.npz`` the first test images with their logits.

    Returns
    -------
    dict
        ``torch_accuracy`` on the validation split, ``torch_test_accuracy``, ``parameters``, ``weights`` (of
        convolutions and linear layers), ``nonzeros`` among them, ``channels``, ``macs`` per image, each also of the
        trained model, as ``parameters_before`` and so on, ``weight_bytes_before`` (of those weights in float32),
        ``removed_weights`` and ``removed_channels`` as shares, ``kept_in_multiples_of`` where channels were removed,
        and ``layers``: name → the account ``before`` and ``after``.

    Raises
    ------
    StageFailed
        If the loss is no longer finite, or memory runs out.
    """
    splits = Prepared.load(parents["data"])
    training.make_reproducible(parameters.get("seed", 0))
    model = training.build_model(
        "compress", parameters["model"], parameters["width"], parents["data"].values["classes"], splits.shape
    )
    model.load_state_dict(torch.load(parents["train"].path / "weights.pt", weights_only=True))
    example = torch.zeros(1, *splits.shape)
    before, parameters_before = accounting.account(model, example), accounting.parameters(model)
    model = _compressed(model, parameters, splits)
    after = accounting.account(model, example)
    export(model, example, out / "network.onnx")
    images = Reference.inputs(splits)
    Reference(images, training.logits(model, images).numpy()).save(out)
    decided = {split: training.decisions(model, getattr(splits, split)) for split in SPLITS}
    answers, margins = ({split: decided[split][part] for split in SPLITS} for part in (0, 1))
    np.savez(out / ANSWERS, allow_pickle=False, **answers, **{f"{split}_margins": margins[split] for split in SPLITS})
    return {
        "torch_accuracy": float((answers["validation"] == splits.validation.labels).mean()),
        "torch_test_accuracy": float((answers["test"] == splits.test.labels).mean()),
        "parameters": accounting.parameters(model),
        "parameters_before": parameters_before,
        **{quantity: accounting.total(after, quantity) for quantity in QUANTITIES},
        **{f"{quantity}_before": accounting.total(before, quantity) for quantity in QUANTITIES},
        "weight_bytes_before": FLOAT32_BYTES * accounting.total(before, "weights"),
        "kept_in_multiples_of": parameters.get("channel_multiple"),
        "removed_weights": 1 - accounting.total(after, "nonzeros") / accounting.total(before, "nonzeros"),
        "removed_channels": 1 - accounting.total(after, "channels") / accounting.total(before, "channels"),
        "layers": {name: {"before": before[name], "after": after.get(name)} for name in before},
    }


def _compressed(model: nn.Module, parameters: Mapping[str, Any], splits: Prepared) -> nn.Module:
    example = torch.from_numpy(splits.train[:1])
    for name in parts(parameters["compression"]):
        compress = plugins.load_custom(name) if plugins.is_custom(name) else plugins.load("compression", name).compress
        ratio = parameters["ratio"] if takes_ratio(name) else None
        options = {option: parameters[option] for option in plugins.literal("compression", name, "OPTIONS", default=())}
        model = compress(model, ratio, example, fine_tuning(parameters, splits), **options)
    return model.eval()


def fine_tuning(parameters: Mapping[str, Any], splits: Prepared) -> FineTune:
    """Return what spends the fine-tuning epochs, in whole ones: what a share leaves of one is added to the next."""
    asked, spent = 0.0, 0

    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        nonlocal asked, spent
        recipe = training.Recipe.of(parameters)  # absent where nothing is removed and so nothing fine-tuned
        recipe = replace(recipe, learning_rate=pace * recipe.learning_rate)
        asked += share
        epochs = int(asked * recipe.epochs + ROUNDING) - spent
        spent += epochs
        training.fit("compress", model, splits.train, recipe, epochs)

    return fine_tune
