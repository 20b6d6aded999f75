"""Torch stages, executed in this process on digits, and their networks run through ONNX Runtime."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.settings import CompressSettings, DataSettings, TrainSettings
from explorer.datasets import SPLITS
from explorer.line import contracts
from explorer.line.prepared import Inputs, Prepared
from explorer.line.training import checks
from tests import forks

# As the engine gives its torch worker on a small machine: OpenMP threads that share their cores with other processes
# wait for one another at every operator, which makes two slower than one.
torch.set_num_threads(1)

QUICK = {"epochs": 3, "learning_rate": 0.1}


def execute(stage: str, folder: Path, parameters: Mapping[str, Any], **parents: Artifact) -> Artifact:
    """Run one stage as a worker does: what it returns has to survive JSON."""
    out = folder / stage
    out.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        if forks.PLACE in os.environ:  # models of the user's own are imported into TVM, which takes 2 s to start
            patch.setattr(checks, "imported", forks.imported)
        values = plugins.load("stage", stage).run(*contracts.parse(stage, parameters, parents), out)
    return Artifact(stage, stage, out, json.loads(json.dumps(values, allow_nan=False)))


def data(folder: Path, dataset: str = "digits", root: Path = Path(), **settings: Any) -> Artifact:
    """Run the data stage on the files in `root`, as `trial` does."""
    parameters = {"dataset": dataset, **DataSettings(**settings).model_dump()}
    artifact = execute("data", folder, parameters, source=Artifact("source", "source", root))
    return replace(artifact, values={**artifact.values, "root": str(root)})


def image_folder(folder: Path, root: Path, **settings: Any) -> Artifact:
    """Run the data stage on the image files below `root`, at 16 px."""
    return data(folder, "image_folder", root, image_size=16, **settings)


def inputs_of(artifact: Artifact) -> dict[str, Inputs]:
    """Return the images of each split that a data stage wrote."""
    prepared = Prepared.load(artifact)
    return {split: getattr(prepared, split) for split in SPLITS}


def train(
    folder: Path,
    data: Artifact,
    model: str = "resnet18",
    width: float = 0.125,
    start: Artifact | None = None,
    answered: int = 0,
    **settings: Any,
) -> Artifact:
    """Run the train stage, from the checkpoint `start` if there is one; `answered` is of ``[evaluate]``."""
    recipe = TrainSettings(**{**QUICK, **settings}).model_dump()
    parents = {"data": data, **({"weights": start} if start else {})}
    return execute("train", folder, {"model": model, "width": width, **recipe, **_answered(answered)}, **parents)


def compress(
    folder: Path,
    data: Artifact,
    train: Artifact,
    compression: str = "none",
    ratio: float | None = None,
    model: str = "resnet18",
    width: float = 0.125,
    answered: int = 0,
    **settings: Any,
) -> Artifact:
    choice = {"model": model, "width": width, "compression": compression, "ratio": ratio, "channel_multiple": 8}
    recipe = CompressSettings(**settings).model_dump() if compression != "none" else {}
    return execute("compress", folder, {**choice, **recipe, **_answered(answered)}, data=data, train=train)


def _answered(images: int) -> dict[str, int]:
    return {"answered_images": images, "answered_seed": 0} if images else {}


def weights_of(model: nn.Module) -> list[Tensor]:
    """Return the weights of all convolutions and linear layers."""
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def onnx_outputs(path: Path, images: NDArray[np.float32], fused: bool = True) -> NDArray[np.float32]:
    """Return what ONNX Runtime computes for each image alone, shape (N, classes).

    Parameters
    ----------
    fused
        Whether it may replace operators by others; those on 8-bit integers then round otherwise.
    """
    options = onnxruntime.SessionOptions()
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"image": image[np.newaxis]})[0] for image in images])
