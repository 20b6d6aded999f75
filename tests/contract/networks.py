"""A model's name → the model, its network as ONNX with torch's logits, and what the compiled network computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from explorer.line.training.onnx_export import export
from explorer.models import builder
from explorer.processes.pool import Worker

SHAPES = ((1, 8, 8), (3, 32, 32))
IMAGES = 4
DEEP = (
    "densenet161",
    "efficientnet_b0",
    "resnet50",
    "vit_tiny",
    "mobilevit_xxs",
)  # exporting and compiling their many layers takes long


def model_of(name: str, width: float = 0.25, classes: int = 10, shape: tuple[int, int, int] = (1, 8, 8)) -> nn.Module:
    torch.manual_seed(0)
    return builder(name)(width, classes, shape)


def exported(model: nn.Module, shape: tuple[int, int, int], folder: Path) -> None:
    """Write network.onnx, images.npy and logits.npy, as torch computes them, into `folder`."""
    images = torch.randn(IMAGES, *shape)
    export(model, torch.zeros(1, *shape), folder / "network.onnx")
    with torch.no_grad():
        logits = model.eval()(images)
    assert (logits.std(dim=0) > 0.01 * logits.abs().max()).any(), "logits that ignore the image agree with anything"
    np.save(folder / "images.npy", images.numpy())
    np.save(folder / "logits.npy", logits.numpy())


def settle(model: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """Give batch norms the statistics of a batch, to fold: pruned layers without make logits that are all biases."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over all batches seen since the reset
            module.reset_running_stats()
    with torch.no_grad():
        model.train()(torch.randn(32, *shape))
    return model.eval()


def error_of(folder: Path, outputs: NDArray[np.float32]) -> float:
    """Return the largest difference from torch's logits in `folder`, relative to the largest logit."""
    expected = np.load(folder / "logits.npy")
    assert outputs.shape == expected.shape
    return float(np.abs(outputs - expected).max() / np.abs(expected).max())


def compiled_outputs(
    worker: Worker, folder: Path, format: str, dtype: str = "float32", batch: int = 1
) -> NDArray[np.float32]:
    """Return what the network in `folder` computes, compiled with direct convolutions in `format` and `dtype`."""
    arguments = {"folder": str(folder), "format": format, "dtype": dtype, "batch": batch}
    ran = worker.request({"call": "tests.compiled:run_direct", "arguments": arguments})
    assert f"direct/{format} {dtype}" in ran
    return np.asarray(np.load(folder / f"{format}.npy"))
