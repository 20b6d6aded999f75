"""Compressed float network and training images → network.onnx on 8-bit integers, between QuantizeLinear pairs.

Post-training quantization: a scale per output channel of the weights and one per activation, which holds the values
that calibration images give it; see `dlas_ops.quantization`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from dlas_ops import quantization
from explorer.prepared import Prepared
from explorer.store import Artifact

VERSION = 1
WORKER = "tvm"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the quantized network; return ``{"calibration_images": n}``.

    Parameters
    ----------
    parameters
        The fields of `explorer.settings.QuantizeSettings`.
    parents
        ``data`` for training images and ``compress``, whose ``network.onnx`` is read.
    """
    images = Prepared.load(parents["data"]).train
    count = min(parameters["images"], len(images))
    drawn = np.sort(np.random.default_rng(parameters["seed"]).choice(len(images), count, replace=False))
    network = onnx.load(parents["compress"].path / "network.onnx")
    quantized = quantization.quantize(
        network, images.normalised(images.pixels(drawn)), percentile=parameters["percentile"]
    )
    onnx.save(quantized, out / "network.onnx")
    return {"calibration_images": count}
