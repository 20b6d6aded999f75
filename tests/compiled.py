"""An exported network → its account, and what the library compiled from it computes; for a worker that holds TVM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm

import dlas_ops
from dlas_ops.processor.targets import native_target
from explorer.line.checking.batches import in_batches
from explorer.line.checking.onnx_reference import evaluator_of


def run_direct(folder: str, format: str, dtype: str, batch: int = 1) -> list[str]:
    """Compile network.onnx in `folder` with direct convolutions, run it on images.npy and write `format`.npy.

    It takes `batch` images at once.

    For int8 it is quantized first, and what onnx's operators make of that in NumPy takes the place of logits.npy.

    Returns
    -------
    list
        The algorithms, formats and dtypes that convolutions ran with, each once, such as ``direct/csr float32``.
    """
    network = onnx.load(Path(folder) / "network.onnx")
    images = np.load(Path(folder) / "images.npy")
    if dtype == "int8":
        network = dlas_ops.quantize(network, images)
        evaluator: Any = evaluator_of(network)
        expected = [evaluator.run(None, {"image": image[np.newaxis]})[0] for image in images]
        np.save(Path(folder) / "logits.npy", np.concatenate(expected))
    target = tvm.target.Target(native_target())
    several = dlas_ops.with_batch(network, batch)
    compiled = dlas_ops.compile(several, target, algorithm="direct", format=format, dtype=dtype)
    machine = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())
    logits = in_batches(lambda own: machine["main"](tvm.runtime.tensor(own)).numpy(), images, batch)
    np.save(Path(folder) / f"{format}.npy", logits)
    return sorted({f"{layer.ran} {layer.dtype}" for layer in compiled.layers if layer.operator.endswith("conv2d")})


def account(folder: str, algorithm: str, format: str, dtype: str) -> list[dict[str, object]]:
    """Return the account of network.onnx in `folder`, layer by layer; int8 is calibrated on images.npy."""
    network = onnx.load(Path(folder) / "network.onnx")
    images = np.load(Path(folder) / "images.npy") if dtype == "int8" else None
    target = tvm.target.Target(native_target())
    lowered = dlas_ops.lower(network, target, algorithm=algorithm, format=format, dtype=dtype, calibration=images)
    return [layer.to_json() for layer in lowered.layers]
