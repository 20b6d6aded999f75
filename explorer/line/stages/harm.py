"""Network in float32 and in 8-bit integers, and training images → what 8 bits do to the output, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx

import dlas_ops
from explorer.line.contracts.harm import Parameters, Parents, Values
from explorer.line.prepared import Prepared

VERSION = 1
WORKER = "tvm"
HARMS = "harms.json"
IMAGES = 16  # every layer is tried on each: the order of MobileNetV2's and ResNet18's layers hardly changes with more


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write for each layer the noise that its 8 bits add to the output, as a share of the output's own variation."""
    train = Prepared.load(parents.data).train
    count = min(IMAGES, len(train))
    drawn = np.sort(np.random.default_rng(parameters.seed).choice(len(train), count, replace=False))
    network, quantized = (onnx.load(each.path / "network.onnx") for each in (parents.compress, parents.quantize))
    found = dlas_ops.harms(network, quantized, train.normalised(train.pixels(drawn)))
    (out / HARMS).write_text(json.dumps(found))
    return {"harmed": len(found), "images": count}
