"""Compiled library and a device → latency samples over RPC, taken only if the outputs are right.

The one stage without an artifact: what it returns is an observation, which the records keep for good.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from explorer import rpc
from explorer.errors import Failure, StageFailed
from explorer.stages.build import LIBRARY
from explorer.store import Artifact

VERSION = 1
WORKER = "tvm"
CHECKED_IMAGES = 16
SESSION_SECONDS = 600
MAX_RUNS = 10_000  # per sample, so that a clock that stands still ends


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Return ``{"samples_ms": [...], "runs_per_sample": n, "relative_error": e, "state": {...}}``.

    Parameters
    ----------
    parameters
        ``tracker``, ``key`` of the device, ``threads``, and the fields of `explorer.settings.MeasureSettings`.
    parents
        ``build`` for the library, and ``reference`` for test images and the outputs on them: of a float32 network an
        artifact of ``compress``, torch's outputs; of another one of ``evaluate``, those of the network compiled for
        this machine, whose accuracy is on record. Torch's differ from these by as much as the dtype is coarse. Where
        that network is the library itself, this shows only that the device runs it; `evaluate` has judged it.

    Raises
    ------
    StageFailed
        Of kind ``wrong_output`` if the library's outputs lie further from these than the tolerance.
    DeviceError
        If the device does not answer.
    """
    session = rpc.connect(parameters["tracker"], parameters["key"], SESSION_SECONDS)
    rpc.set_threads(session, parameters["threads"], "measure", parameters["key"])
    session.upload(str(parents["build"].path / LIBRARY))
    device = session.cpu()
    network = relax.VirtualMachine(session.load_module(LIBRARY), device)

    reference = np.load(parents["reference"].path / "reference.npz")
    images, logits = reference["images"][:CHECKED_IMAGES], reference["logits"][:CHECKED_IMAGES]
    error = _relative_error(network, device, images, logits)
    whose, tolerance = "torch's", parameters["tolerance"]
    if parents["reference"].stage != "compress":
        whose, tolerance = "those on this machine", parameters["narrow_tolerance"]
    if not error <= tolerance:
        message = f"outputs differ from {whose} by {error:.2g} of their range; allowed: {tolerance:g}"
        raise StageFailed(Failure("measure", "wrong_output", message))

    image = tvm.runtime.tensor(images[:1], device)
    before = _state()
    number = _runs_per_sample(network, device, image, parameters)
    timer = network.time_evaluator("main", device, number=number, repeat=parameters["samples"])
    samples = [1e3 * seconds for seconds in timer(image).results]
    state = {"before": before, "after": _state(), "tvm": tvm.__version__}
    return {"samples_ms": samples, "runs_per_sample": number, "relative_error": error, "state": state}


def _relative_error(network: Any, device: Any, images: np.ndarray, logits: np.ndarray) -> float:
    """Return max |outputs - logits| over max |logits|; images (N, C, H, W), logits (N, classes), both float32."""
    outputs = [network["main"](tvm.runtime.tensor(image[None], device)).numpy() for image in images]
    return float(np.abs(np.concatenate(outputs) - logits).max() / np.abs(logits).max())


def _runs_per_sample(network: Any, device: Any, image: Any, parameters: Mapping[str, Any]) -> int:
    """Warm up for the time asked for and return how many runs fill one sample."""
    number, spent = 1, 0.0
    while True:
        seconds = network.time_evaluator("main", device, number=number, repeat=1)(image).mean
        spent += 1e3 * seconds * number
        number = min(MAX_RUNS, max(1, round(parameters["sample_ms"] / (1e3 * seconds)))) if seconds else MAX_RUNS
        if spent >= parameters["warmup_ms"]:
            return number


def _state() -> dict[str, Any]:
    """Return what may have disturbed a measurement on this machine: time and load average of the last minute."""
    return {"time": time.time(), "load": os.getloadavg()[0]}
