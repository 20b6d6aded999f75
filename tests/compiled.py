"""An exported network and images → what the library compiled from it computes; for a worker that holds TVM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import tvm

import dlas_ops
from dlas_ops.targets import native_target


def run_direct(folder: str, format: str) -> list[str]:
    """Compile network.onnx in `folder` with direct convolutions, run it on images.npy and write `format`.npy.

    Returns
    -------
    list
        The algorithms and formats that convolutions ran with, each once, such as ``direct/csr``.
    """
    network = onnx.load(Path(folder) / "network.onnx")
    compiled = dlas_ops.compile(network, tvm.target.Target(native_target()), algorithm="direct", format=format)
    machine = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())
    images = np.load(Path(folder) / "images.npy")
    logits = [machine["main"](tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
    np.save(Path(folder) / f"{format}.npy", np.concatenate(logits))
    return sorted({layer.ran for layer in compiled.layers if layer.operator.endswith("conv2d")})
