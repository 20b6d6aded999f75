"""Trained weights and a compression's name → network.onnx, its cost, and torch's answers to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from explorer import accounting, plugins, training
from explorer.configuration import parts, takes_ratio
from explorer.onnx_export import export
from explorer.prepared import Prepared
from explorer.store import Artifact

VERSION = 2
WORKER = "torch"

REFERENCE_IMAGES = 64  # test images whose logits every later stage's output is compared with


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Compress and fine-tune the trained model, export it, and write torch's answers: ``answers.npz`` has a class for
    each validation and test image, ``reference.npz`` the first test images with their logits.

    Returns
    -------
    dict
        ``torch_accuracy`` on the validation split, ``torch_test_accuracy``, ``parameters``, ``weights`` (of
        convolutions and linear layers), ``nonzeros`` among them, ``channels``, ``macs`` per image,
        ``weight_bytes`` (all constants of the float32 network), ``removed_weights`` and ``removed_channels`` as shares
        of the trained model's, and ``layers``: name → the account ``before`` and ``after``.

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
    before = accounting.account(model, example)
    model = _compressed(model, parameters, splits)
    after = accounting.account(model, example)
    weight_bytes = export(model, example, out / "network.onnx")
    images = splits.test[:REFERENCE_IMAGES]
    np.savez(out / "reference.npz", images=images, logits=training.logits(model, images).numpy())
    answers = {split: training.classes(model, getattr(splits, split)) for split in ("validation", "test")}
    np.savez(out / "answers.npz", allow_pickle=False, **answers)
    return {
        "torch_accuracy": float((answers["validation"] == splits.validation.labels).mean()),
        "torch_test_accuracy": float((answers["test"] == splits.test.labels).mean()),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weight_bytes": weight_bytes,
        **{quantity: accounting.total(after, quantity) for quantity in ("weights", "nonzeros", "channels", "macs")},
        "removed_weights": 1 - accounting.total(after, "nonzeros") / accounting.total(before, "nonzeros"),
        "removed_channels": 1 - accounting.total(after, "channels") / accounting.total(before, "channels"),
        "layers": {name: {"before": before[name], "after": after.get(name)} for name in before},
    }


def _compressed(model: nn.Module, parameters: Mapping[str, Any], splits: Prepared) -> nn.Module:
    def fine_tune(tuned: nn.Module, share: float = 1.0) -> None:
        recipe = training.Recipe.of(parameters)  # absent where nothing is removed and so nothing fine-tuned
        training.fit("compress", tuned, splits.train, recipe, round(share * recipe.epochs))

    example = torch.from_numpy(splits.train[:1])
    for name in parts(parameters["compression"]):
        compress = plugins.load_custom(name) if plugins.is_custom(name) else plugins.load("compression", name).compress
        ratio = parameters["ratio"] if takes_ratio(name) else None
        model = compress(model, ratio, example, fine_tune)
    return model.eval()
