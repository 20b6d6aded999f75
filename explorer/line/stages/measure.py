"""Compiled library and a device → latency samples of one session over RPC, taken only if the outputs are right.

The one stage without an artifact: what it returns is an observation, which the records keep for good.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from explorer.core.artifact import Artifact
from explorer.core.sessions import Readings, disturbance, quiet_samples
from explorer.line import rpc
from explorer.line.checking.batches import filled, in_batches
from explorer.line.checking.first_wrong_layer import Checked, Placement
from explorer.line.checking.reference import Reference
from explorer.line.contracts.measure import Parameters, Parents, Values
from explorer.line.control import LIBRARY as CONTROL
from explorer.line.control import Control, taken
from explorer.line.stages.build import LIBRARY

VERSION = 3
WORKER = "tvm"
CHECKED_IMAGES = 16
SESSION_SECONDS = 600
MAX_RUNS = 10_000  # per sample, so that a clock that stands still ends
POLL_SECONDS = 0.25  # between two looks at whether a device is quiet
PATIENCE = 3  # times as many samples as asked for are taken at most, until half as many are quiet


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
    control, no_control = _control(session, parameters, parents)
    device = session.cpu()
    network = relax.VirtualMachine(_loaded(session, parents.build, LIBRARY, parameters), device)
    batch = Placement.load(parents.lower.path).batch
    images = Reference.load(parents.network.path).images[: max(CHECKED_IMAGES, batch)]
    error = _compared(session, network, images, batch, parameters, parents, out) if parameters.compares else None

    waited = _until_quiet(control, parameters) if control else 0.0
    inputs = tvm.runtime.tensor(filled(images, batch), device)
    number = _runs_per_sample(network, device, inputs, parameters)
    timer = network.time_evaluator("main", device, number=number, repeat=1)
    before = control.state() if control else None
    samples, readings = _sampled(lambda: 1e3 * float(timer(inputs).mean), control, parameters)
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


def _control(session: Any, parameters: Parameters, parents: Parents) -> tuple[Control | None, str]:
    """Return the control in the session; None, and in one sentence why, where the device runs none."""
    if parents.control is None:
        return None, ""
    try:
        control = Control(session, _loaded(session, parents.control, CONTROL, parameters), parameters.threads)
        control.pin(parameters.cores)
    except Exception as error:  # a device raises what it likes, and is measured all the same
        said = str(error).strip() or type(error).__name__
        return None, said.splitlines()[-1].strip()[:200]
    return control, ""


def _loaded(session: Any, artifact: Artifact, library: str, parameters: Parameters) -> Any:
    """Return the library of an artifact as a module on the device."""
    linked = parameters.linked and str(Path(parameters.linked) / f"{artifact.key}.so")
    return rpc.load(session, artifact.path / library, linked)


def _until_quiet(control: Control, parameters: Parameters) -> float:
    """Wait until the control takes its usual time, or patience ends; return the seconds."""
    usual = Readings(*parameters.usual)
    start = time.monotonic()
    while True:
        wake = control.wake_us() if parameters.threads > 1 else None
        quiet = not disturbance(Readings(control.arithmetic_ms(), wake), usual)
        waited = time.monotonic() - start
        if quiet or waited >= parameters.patience:
            return waited
        time.sleep(min(POLL_SECONDS, parameters.patience - waited))


def _compared(
    session: Any, network: Any, images: np.ndarray, batch: int, parameters: Parameters, parents: Parents, out: Path
) -> float:
    """Return how far the outputs of the network on the device lie from the reference at most; see `run` for errors."""
    numbers = itertools.count()
    device = session.cpu()

    def run_part(library: Any, images: np.ndarray) -> np.ndarray:
        part = out / f"part{next(numbers)}.tar"  # a name of its own: the server has linked and loaded the others
        library.export_library(str(part))
        loaded = rpc.load(session, part)
        part.unlink()
        return _outputs(relax.VirtualMachine(loaded, device), device, images, batch)

    outputs = _outputs(network, device, images, batch)
    return Checked(parents.network, parents.lower, parameters.tolerance, run_part).compare("measure", outputs)


def _sampled(
    sample: Callable[[], float], control: Control | None, parameters: Parameters
) -> tuple[list[float], dict[str, list[float]]]:
    """Take samples, and the control's readings around each, until enough samples are quiet or patience ends."""
    if control is None:
        return [sample() for _ in range(parameters.samples)], {}
    readings: dict[str, list[float]] = {"arithmetic_ms": [], "wake_us": [], "memory_ms": [control.memory_ms()]}

    def read() -> None:
        readings["arithmetic_ms"].append(control.arithmetic_ms())
        if parameters.threads > 1:
            readings["wake_us"].append(control.wake_us())

    sample()  # reading memory has moved the network's weights out of the caches
    read()
    samples: list[float] = []
    usual = Readings(*parameters.usual)
    for _ in range(PATIENCE):
        for _ in range(parameters.samples):
            samples.append(sample())
            read()
        quiet = len(quiet_samples(samples, readings, usual)[0])
        if not quiet or quiet >= parameters.samples / 2:  # what has lasted all the time will go on
            break
    readings["memory_ms"].append(control.memory_ms())
    return samples, readings


def _outputs(network: Any, device: Any, images: np.ndarray, batch: int) -> np.ndarray:
    """Return what the network on the device, of `batch` images at once, makes of images (N, C, H, W): (N, classes)."""
    return in_batches(lambda several: network["main"](tvm.runtime.tensor(several, device)).numpy(), images, batch)


def _runs_per_sample(network: Any, device: Any, inputs: Any, parameters: Parameters) -> int:
    """Warm up for the time asked for and return how many runs fill one sample."""
    number, spent = 1, 0.0
    while True:
        seconds = network.time_evaluator("main", device, number=number, repeat=1)(inputs).mean
        spent += 1e3 * seconds * number
        number = min(MAX_RUNS, max(1, round(parameters.sample_ms / (1e3 * seconds)))) if seconds else MAX_RUNS
        if spent >= parameters.warmup_ms:
            return number
