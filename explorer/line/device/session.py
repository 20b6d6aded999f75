"""A session on a device → libraries in it, how often they run, and samples with the control's readings beside them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tvm

from dlas_ops import gpu_peaks
from explorer.core.artifact import Artifact
from explorer.core.measurement import clocks
from explorer.core.measurement.sessions import Readings, disturbance, quiet_samples
from explorer.core.measurement.standstills import LONGER_MS
from explorer.line.contracts.on_device import InSessions
from explorer.line.device import rpc, silence
from explorer.line.device.control import GPU_LIBRARY, LIBRARY, Control
from explorer.space.gpu_targets import is_gpu

MAX_RUNS = 10_000  # per sample, so that a clock that stands still ends
POLL_SECONDS = 0.25  # between two looks at whether a device is quiet
PATIENCE = 3  # times as many samples as asked for are taken at most, until half as many are quiet
CONTROL_SECONDS = 30.0  # that a device is given to prepare and run the control's programs for the first time
UNKNOWN_SECONDS = 300.0  # that a device is given for the first run of a network of any size
COMPILING_SECONDS = 300.0  # that a GPU's driver is given to compile a network's kernels, at its first run


def control_in(
    session: Any, control: Artifact | None, parameters: InSessions, target: Mapping[str, Any]
) -> tuple[Control | None, str]:
    """Return the control in the session; None, and in one sentence why, where the device runs none."""
    if control is None:
        return None, ""
    try:
        with silence.at_most(CONTROL_SECONDS + compiling_seconds(target)):
            running = Control(session, loaded(session, control, LIBRARY, parameters), parameters.threads)
            running.pin(parameters.cores)
            if is_gpu(target):
                programs, gpu = loaded(session, control, GPU_LIBRARY, parameters), rpc.device(session, target)
                running.on_gpu(programs, gpu, gpu_peaks.arithmetic(tvm.target.Target(dict(target))))
    except Exception as error:  # a device raises what it likes, and is measured all the same
        said = str(error).strip() or type(error).__name__
        return None, said.splitlines()[-1].strip()[:200]
    return running, ""


def loaded(session: Any, artifact: Artifact, library: str, parameters: InSessions) -> Any:
    """Return the library of an artifact as a module on the device."""
    return session.load_module(placed(session, artifact, library, parameters))


def placed(session: Any, artifact: Artifact, library: str, parameters: InSessions) -> str:
    """Bring the library of an artifact to the device, linked; return the file that the session loads."""
    linked = parameters.linked and str(Path(parameters.linked) / f"{artifact.key}-{library}.so")
    return rpc.place(session, artifact.path / library, linked, f"{artifact.key}-{library}")


def first_run_seconds(account: Path, target: Mapping[str, Any]) -> float:
    """Return the seconds that a device is given for the first run of a network with this file of layers, if it has one.

    A bundle has none.
    """
    if not account.exists():
        return UNKNOWN_SECONDS
    layers = json.loads(account.read_text(encoding="utf-8"))
    return silence.of_run(sum(layer["macs"] for layer in layers)) + compiling_seconds(target)


def compiling_seconds(target: Mapping[str, Any]) -> float:
    """Return the seconds that a device is given to compile kernels, at their first run."""
    return COMPILING_SECONDS if is_gpu(target) else 0.0


def until_quiet(control: Control, parameters: InSessions) -> float:
    """Wait until the control takes its usual time, or patience ends; return the seconds."""
    usual = Readings(*parameters.usual)
    start = clocks.running()
    while True:
        with silence.at_most(silence.LEAST):
            wake = control.wake_us() if parameters.threads > 1 else None
            quiet = not disturbance(Readings(control.arithmetic_ms(), wake), usual)
        waited = clocks.running() - start
        if quiet or waited >= parameters.patience:
            return waited
        time.sleep(min(POLL_SECONDS, parameters.patience - waited))


def sampled(
    sample: Callable[[], float], control: Control | None, parameters: InSessions, seconds: float
) -> tuple[list[float], dict[str, list[float]]]:
    """Take samples, and the control's readings around each, until enough samples are quiet or patience ends.

    Parameters
    ----------
    seconds
        That the device is given for the first sample.
    """
    sample = silence.limited(sample, seconds + 1e-3 * parameters.sample_ms)
    if control is None:
        return [sample() for _ in range(parameters.samples)], {}
    memory_ms = silence.limited(control.memory_ms, CONTROL_SECONDS)
    readings: dict[str, list[float]] = {"arithmetic_ms": [], "wake_us": [], "memory_ms": [memory_ms()]}

    def read() -> None:
        with silence.at_most(silence.LEAST):
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
        quiet = len(quiet_samples(len(samples), readings, usual)[0])
        if not quiet or quiet >= parameters.samples / 2:  # what has lasted all the time will go on
            break
    readings["memory_ms"].append(memory_ms())
    return samples, readings


def runs_per_sample(network: Any, clock: Any, image: Any, parameters: InSessions, limit: float) -> int:
    """Warm up for the time asked for and return how many runs fill one sample, by the clock of a device.

    Parameters
    ----------
    limit
        Seconds that the device is given for the first run.
    """
    number, spent, least, first = 1, 0.0, math.inf, True
    while True:
        with silence.at_most(limit if first else silence.of_known(number * least)):
            seconds = network.time_evaluator("main", clock, number=number, repeat=1)(image).mean
        spent += 1e3 * seconds * number
        least = min(least, seconds)
        number = min(MAX_RUNS, max(1, round(parameters.sample_ms / (1e3 * least)))) if least else MAX_RUNS
        # A first run that takes long may be one that the server stood still in.
        if spent >= parameters.warmup_ms and not (first and 1e3 * seconds > LONGER_MS):
            return number
        first = False
