"""Compiled library and a device → times and memory in one session over RPC, taken only if the outputs are right.

The one stage without an artifact: what it returns is an observation, which the records keep for good.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import tvm

from explorer.core.measurement import clocks
from explorer.core.measurement.sessions import Readings, quiet_samples
from explorer.core.measurement.standstills import Unbroken
from explorer.core.measurement.statistics import spread
from explorer.line.checking.batches import filled, in_batches
from explorer.line.checking.first_wrong_layer import Checked, Placement
from explorer.line.checking.reference import Reference
from explorer.line.contracts.measure import Parameters, Parents, Values
from explorer.line.device import rpc, silence
from explorer.line.device.control import taken
from explorer.line.device.session import control_in, first_run_seconds, placed, runs_per_sample, sampled, until_quiet
from explorer.line.stages.build import LAYERS, library_in
from explorer.space.gpu_targets import is_gpu

VERSION = 4
WORKER = "tvm"
CHECKED_IMAGES = 16
SESSION_SECONDS = 600


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Load the library, compare its outputs on the device with the reference, and take the samples.

    Raises
    ------
    StageFailed
        Of kind ``wrong_output``, with the layer at which they part, if outputs lie further off than the tolerance; of
        kind ``not_applicable`` if a GPU's driver does not compile the kernels.
    DeviceError
        If the device does not answer.
    """
    address = parameters.address
    session = rpc.connect(address.tracker, address.key, SESSION_SECONDS)
    rpc.set_threads(session, parameters.threads, "measure", address.key)
    placement = Placement.load(parents.lower.path)
    control, no_control = control_in(session, parents.control, parameters, placement.target)
    library = placed(session, parents.build, library_in(parents.build.path), parameters)
    batch = placement.batch
    images = Reference.load(parents.network.path).images[: max(CHECKED_IMAGES, batch)]
    inputs = tvm.runtime.tensor(filled(images, batch), rpc.device(session, placement.target))
    first_run = first_run_seconds(parents.build.path / LAYERS, placement.target)
    with rpc.compiling("measure", address.key), silence.at_most(first_run):
        network, load_ms, first_ms = _started(session, library, placement.target, inputs)
    error = _compared(session, network, images, placement, parameters, parents, out) if parameters.compares else None

    waited = until_quiet(control, parameters) if control else 0.0
    clock = session.cpu()
    number = runs_per_sample(network, clock, inputs, parameters, first_run)
    timer = network.time_evaluator("main", clock, number=1, repeat=number)
    runs: list[list[float]] = []
    unbroken = Unbroken()

    def sample() -> float:
        runs.append(unbroken.take(lambda: [round(1e3 * seconds, 6) for seconds in timer(inputs).results]))
        return fmean(runs[-1])

    before = control.state() if control else None
    samples, readings = sampled(sample, control, parameters, first_run)
    after = control.state() if control else None
    quiet, typical = quiet_samples(len(samples), readings, Readings(*parameters.usual))
    runs = runs[-len(samples) :]
    typical = typical._replace(
        # A thread that waits for a GPU leaves its core to others.
        taken=taken(before, after, parameters.threads) if before and after and not is_gpu(placement.target) else None,
        spread=spread([run for index in quiet or range(len(samples)) for run in runs[index]]),
    )
    return {
        "samples_ms": samples,
        "quiet": quiet,
        "runs_ms": runs,
        "load_ms": load_ms,
        "first_ms": first_ms,
        "server_peak_bytes": control.peak_bytes() if control else None,
        "readings": readings,
        "typical": list(typical),
        "relative_error": error,
        "waited_s": waited,
        "taken_again": unbroken.again,
        "no_control": no_control,
        "state": {"before": before, "after": after, "tvm": tvm.__version__},
    }


def _started(session: Any, library: str, target: Mapping[str, Any], inputs: Any) -> tuple[Any, float, float]:
    """Return the network on the device, the ms that it took to load, and those of its first inference."""
    trip = rpc.round_trip(session)
    start = clocks.running()
    network = rpc.machine(session, library, target)
    ready = clocks.running()
    main = network["main"]
    before = clocks.running()
    main(inputs)
    taken = clocks.running() - before
    return network, 1e3 * (ready - start), 1e3 * (taken - trip if taken > trip else taken)


def _compared(
    session: Any,
    network: Any,
    images: np.ndarray,
    placement: Placement,
    parameters: Parameters,
    parents: Parents,
    out: Path,
) -> float:
    """Return how far the outputs of the network on the device lie from the reference at most; see `run` for errors."""
    numbers = itertools.count()
    device, batch = rpc.device(session, placement.target), placement.batch
    first_run = first_run_seconds(parents.build.path / LAYERS, placement.target)

    def run_part(library: Any, images: np.ndarray) -> np.ndarray:
        part = out / f"part{next(numbers)}.tar"  # a name of its own: the server has linked and loaded the others
        library.export_library(str(part))
        part_of_it = rpc.machine(session, rpc.place(session, part), placement.target)
        part.unlink()
        return _outputs(part_of_it, device, images, batch, first_run)

    outputs = _outputs(network, device, images, batch, first_run)
    return Checked(parents.network, parents.lower, parameters.tolerance, run_part).compare("measure", outputs)


def _outputs(network: Any, device: Any, images: np.ndarray, batch: int, seconds: float) -> np.ndarray:
    """Return what the network on the device, of `batch` images at once, makes of images (N, C, H, W): (N, …).

    Parameters
    ----------
    seconds
        That the device is given for each batch.
    """

    def run(several: np.ndarray) -> np.ndarray:
        with silence.at_most(seconds):
            outputs: np.ndarray = network["main"](tvm.runtime.tensor(several, device)).numpy()
            return outputs

    return in_batches(run, images, batch)
