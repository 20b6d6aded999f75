"""Compiled library and a device → latency samples of one session over RPC, taken only if the outputs are right.

The one stage without an artifact: what it returns is an observation, which the records keep for good.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from explorer.core.sessions import Readings, quiet_samples
from explorer.line import rpc
from explorer.line.checking.first_wrong_layer import Checked
from explorer.line.checking.reference import Reference
from explorer.line.contracts.measure import Parameters, Parents, Values
from explorer.line.control import taken
from explorer.line.session import control_in, loaded, runs_per_sample, sampled, until_quiet
from explorer.line.stages.build import LIBRARY

VERSION = 3
WORKER = "tvm"
CHECKED_IMAGES = 16
SESSION_SECONDS = 600


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
    control, no_control = control_in(session, parents.control, parameters)
    device = session.cpu()
    network = relax.VirtualMachine(loaded(session, parents.build, LIBRARY, parameters), device)
    images = Reference.load(parents.network.path).images[:CHECKED_IMAGES]
    error = _compared(session, network, images, parameters, parents, out) if parameters.compares else None

    waited = until_quiet(control, parameters) if control else 0.0
    image = tvm.runtime.tensor(images[:1], device)
    number = runs_per_sample(network, device, image, parameters)
    timer = network.time_evaluator("main", device, number=number, repeat=1)
    before = control.state() if control else None
    samples, readings = sampled(lambda: 1e3 * float(timer(image).mean), control, parameters)
    after = control.state() if control else None
    quiet, typical = quiet_samples(samples, readings, Readings(*parameters.usual))
    if before and after:
        typical = typical._replace(taken=taken(before, after, parameters.threads))
    return {
        "samples_ms": samples,
        "quiet_ms": quiet,
        "runs_per_sample": number,
        "readings": readings,
        "typical": list(typical),
        "relative_error": error,
        "waited_s": waited,
        "no_control": no_control,
        "state": {"before": before, "after": after, "tvm": tvm.__version__},
    }


def _compared(
    session: Any, network: Any, images: np.ndarray, parameters: Parameters, parents: Parents, out: Path
) -> float:
    """Return how far the outputs of the network on the device lie from the reference at most; see `run` for errors."""
    numbers = itertools.count()
    device = session.cpu()

    def run_part(library: Any, images: np.ndarray) -> np.ndarray:
        part = out / f"part{next(numbers)}.tar"  # a name of its own: the server has linked and loaded the others
        library.export_library(str(part))
        loaded = rpc.load(session, part)
        part.unlink()
        return _outputs(relax.VirtualMachine(loaded, device), device, images)

    outputs = _outputs(network, device, images)
    return Checked(parents.network, parents.lower, parameters.tolerance, run_part).compare("measure", outputs)


def _outputs(network: Any, device: Any, images: np.ndarray) -> np.ndarray:
    """Return what the network on the device makes of each image; images (N, C, H, W), outputs (N, classes)."""
    return np.concatenate([network["main"](tvm.runtime.tensor(image[None], device)).numpy() for image in images])
