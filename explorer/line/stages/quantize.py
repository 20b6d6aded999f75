"""Compressed float network and training images → network.onnx on 8-bit integers, between QuantizeLinear pairs.

Post-training quantization: a scale per output channel of the weights and one per activation, which holds the values
that calibration images give it; see `dlas_ops.onnx.quantization`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

import dlas_ops
from explorer.core.errors import Failure, StageFailed
from explorer.line.checking.onnx_reference import evaluator_of
from explorer.line.checking.reference import Reference
from explorer.line.contracts.quantize import Parameters, Parents, Values
from explorer.line.prepared import Prepared

VERSION = 3
WORKER = "tvm"
REFERENCE_IMAGES = 16  # fewer than torch's, as NumPy takes its time: 0.1 s each for networks on small images


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the quantized network and, in ``reference.npz``, what onnx's operators in NumPy compute of test images.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if nothing in the network can be quantized.
    """
    settings = parameters.settings
    splits = Prepared.load(parents.data)
    images = splits.train
    count = min(settings.images, len(images))
    drawn = np.sort(np.random.default_rng(settings.seed).choice(len(images), count, replace=False))
    network = onnx.load(parents.compress.path / "network.onnx")
    calibration = images.normalised(images.pixels(drawn))
    try:
        quantized = dlas_ops.quantize(network, calibration, percentile=settings.percentile, method=settings.calibration)
    except ValueError as error:
        raise StageFailed(Failure("quantize", "not_applicable", str(error))) from error
    save_with_reference(quantized, splits, out)
    return {"calibration_images": count}


def save_with_reference(network: onnx.ModelProto, splits: Prepared, out: Path) -> None:
    """Write a network with quantized layers, and what onnx's operators in NumPy compute of test images."""
    onnx.save(network, out / "network.onnx")
    images = Reference.inputs(splits)[:REFERENCE_IMAGES]
    evaluator: Any = evaluator_of(network)
    with np.errstate(all="ignore"):  # its sigmoid computes for both signs, and overflows for the one not taken
        logits = [evaluator.run(["logits"], {"image": image[np.newaxis]})[0] for image in images]
    Reference(images, np.concatenate(logits)).save(out)
