"""Compiled library and a device → latency samples over RPC, taken only if the outputs are right.

The one stage without an artifact: what it returns is an observation, which the records keep for good.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from explorer.line import rpc
from explorer.line.checking.first_wrong_layer import Checked
from explorer.line.checking.reference import Reference
from explorer.line.contracts.measure import Disturbance, Parameters, Parents, State, Values
from explorer.line.stages.build import LIBRARY

VERSION = 2
WORKER = "tvm"
CHECKED_IMAGES = 16
SESSION_SECONDS = 600
MAX_RUNS = 10_000  # per sample, so that a clock that stands still ends


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Compare the outputs on the device with the reference, and take the samples.

    Raises
    ------
    StageFailed
        Of kind ``wrong_output``, with the layer at which they part, if outputs lie further off than the tolerance.
    DeviceError
        If the device does not answer.
    """
    address = parameters.address
    session = rpc.connect(address.tracker, address.key, SESSION_SECONDS)
    rpc.set_threads(session, parameters.threads, "measure", address.key)
    session.upload(str(parents.build.path / LIBRARY))
    device = session.cpu()
    network = relax.VirtualMachine(session.load_module(LIBRARY), device)

    numbers = itertools.count()

    def run_part(library: Any, images: np.ndarray) -> np.ndarray:
        part = out / f"part{next(numbers)}.tar"  # a name of its own: the server has linked and loaded the others
        library.export_library(str(part))
        session.upload(str(part))
        part.unlink()
        return _outputs(relax.VirtualMachine(session.load_module(part.name), device), device, images)

    images = Reference.load(parents.network.path).images[:CHECKED_IMAGES]
    outputs = _outputs(network, device, images)
    error = Checked(parents.network, parents.lower, parameters.tolerance, run_part).compare("measure", outputs)

    image = tvm.runtime.tensor(images[:1], device)
    before = _state()
    number = _runs_per_sample(network, device, image, parameters)
    timer = network.time_evaluator("main", device, number=number, repeat=parameters.samples)
    samples = [1e3 * seconds for seconds in timer(image).results]
    state: State = {"before": before, "after": _state(), "tvm": tvm.__version__}
    return {"samples_ms": samples, "runs_per_sample": number, "relative_error": error, "state": state}


def _outputs(network: Any, device: Any, images: np.ndarray) -> np.ndarray:
    """Return what the network on the device makes of each image; images (N, C, H, W), outputs (N, classes)."""
    return np.concatenate([network["main"](tvm.runtime.tensor(image[None], device)).numpy() for image in images])


def _runs_per_sample(network: Any, device: Any, image: Any, parameters: Parameters) -> int:
    """Warm up for the time asked for and return how many runs fill one sample."""
    number, spent = 1, 0.0
    while True:
        seconds = network.time_evaluator("main", device, number=number, repeat=1)(image).mean
        spent += 1e3 * seconds * number
        number = min(MAX_RUNS, max(1, round(parameters.sample_ms / (1e3 * seconds)))) if seconds else MAX_RUNS
        if spent >= parameters.warmup_ms:
            return number


def _state() -> Disturbance:
    """Return what may have disturbed a measurement on this machine: time and load average of the last minute."""
    return {"time": time.time(), "load": os.getloadavg()[0]}
