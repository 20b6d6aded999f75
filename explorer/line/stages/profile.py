"""Library of a network, and the same one that notes times → what each of its programs takes on the device.

Both libraries are sampled in turns, so that the sum of the programs can be held against the network's own latency.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tvm

from dlas_ops import peaks
from dlas_ops.passes.ticking import elapsed_ns, notes_size
from dlas_ops.processor.dot import dot_of, matrix_products_per_float, products_per_float
from dlas_ops.processor.targets import describe
from explorer.core.measurement.sessions import Readings, quiet_samples
from explorer.core.measurement.standstills import Unbroken
from explorer.line.checking.batches import filled
from explorer.line.checking.first_wrong_layer import Placement
from explorer.line.checking.reference import Reference
from explorer.line.contracts.profile import Parameters, Parents, Session, Values
from explorer.line.device import rpc, silence
from explorer.line.device.control import FILL, taken
from explorer.line.device.counting import counting, mark, undisturbed
from explorer.line.device.session import (
    CONTROL_SECONDS,
    control_in,
    first_run_seconds,
    loaded,
    placed,
    runs_per_sample,
    sampled,
    until_quiet,
)
from explorer.line.execution import current
from explorer.line.stages import instrument
from explorer.line.stages.build import LAYERS, LIBRARY

VERSION = 1
WORKER = "tvm"
PROFILE = "profile.json"
SESSION_SECONDS = 600
MORE = 3  # sessions at most beyond those asked for, where some are disturbed
LEAST_READ = 1 << 18  # bytes, for the time of reading to be more than the clock's grain
PEAK_RUNS = {"arithmetic": 10, "memory": 5}  # the best one counts


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Take the sessions, and write them with the network's calls and its account of layers.

    Raises
    ------
    DeviceError
        If the device does not answer.
    """
    sessions: list[Session] = []
    no_control = ""
    while len(undisturbed(sessions)) < parameters.sessions and len(sessions) < parameters.sessions + MORE:
        session, no_control = _session(parameters, parents)
        sessions.append(session)
        mark(sessions, parameters.usual)
        current().advance(len(sessions), parameters.sessions, f"{median(session['network_ms']):.3f} ms")
    counted = counting(sessions)
    target = dict(Placement.load(parents.lower.path).target)
    written = {
        "version": VERSION,
        "calls": json.loads((parents.instrument.path / instrument.CALLS).read_text()),
        "weights": json.loads((parents.instrument.path / instrument.WEIGHTS).read_text()),
        "layers": json.loads((parents.build.path / LAYERS).read_text()),
        "processor": _processor(target),
        "threads": parameters.threads,
        "sessions": sessions,
    }
    (out / PROFILE).write_text(json.dumps(written))
    return {
        "network_ms": median(_typical(each, each["network_ms"]) for each in counted),
        "layers_ms": median(_typical(each, [sum(calls) / 1e3 for calls in each["calls_us"]]) for each in counted),
        "counted": len(counted),
        "no_control": no_control,
    }


def _processor(target: dict[str, Any]) -> dict[str, Any]:
    """Return what the rooflines of dtypes need: lanes of float32, products in the time of one of float32, half."""
    processor = describe(tvm.target.Target(target))
    return {
        "lanes": processor.lanes(),
        "dot": dot_of("int8", processor).instruction,
        "dot_values": products_per_float("int8", processor),
        "half": processor.half,
        "bfloat16_values": products_per_float("bfloat16", processor),
        "matrices": matrix_products_per_float(processor),
    }


def _typical(session: Session, samples: list[float]) -> float:
    return median([samples[index] for index in session["quiet"]] or samples)


def _session(parameters: Parameters, parents: Parents) -> tuple[Session, str]:
    """Sample both libraries in a session of its own; return it, and why it has no control, if it has none."""
    address = parameters.address
    session = rpc.connect(address.tracker, address.key, SESSION_SECONDS)
    rpc.set_threads(session, parameters.threads, "profile", address.key)
    placement = Placement.load(parents.lower.path)
    control, no_control = control_in(session, parents.control, parameters, placement.target)
    with silence.at_most(CONTROL_SECONDS):
        gflop_s, gb_s = _peaks(session, parameters, parents, placement)
    first_run = first_run_seconds(parents.build.path / LAYERS, placement.target)
    with silence.at_most(2 * first_run):
        pair = _Pair(session, parameters, parents, placement)
    waited = until_quiet(control, parameters) if control else 0.0
    pair.warm_up(parameters, first_run)
    before = control.state() if control else None
    ratios, readings = sampled(pair.sample, control, parameters, 2 * first_run)
    after = control.state() if control else None
    quiet, typical = quiet_samples(len(ratios), readings, Readings(*parameters.usual))
    typical = typical._replace(taken=taken(before, after, parameters.threads) if before and after else None)
    kept = slice(len(pair.network_ms) - len(ratios), None)  # one before them has warmed the caches
    return {
        "network_ms": pair.network_ms[kept],
        "ticking_ms": pair.ticking_ms[kept],
        "calls_us": pair.calls_us[kept],
        "quiet": quiet,
        "gflop_s": gflop_s,
        "gb_s": gb_s,
        "wake_us": typical.wake_us,
        "readings": readings,
        "typical": list(typical),
        "disturbed": "",
        "waited_s": waited,
        "state": {"before": before, "after": after, "tvm": tvm.__version__},
    }, no_control


class _Pair:
    """The network and the one that notes times, both loaded in a session, and their samples so far."""

    def __init__(self, session: Any, parameters: Parameters, parents: Parents, placement: Placement) -> None:
        self._clock = session.cpu()
        self._calls, self._runs = parents.instrument.values["calls"], parents.instrument.values["runs"]
        images = Reference.load(parents.network.path).images
        self._inputs = tvm.runtime.tensor(filled(images, placement.batch), self._clock)
        self._notes = tvm.runtime.tensor(np.zeros(notes_size(self._calls, self._runs), np.int64), self._clock)
        plain = placed(session, parents.build, LIBRARY, parameters)
        ticking = placed(session, parents.instrument, instrument.LIBRARY, parameters)
        self._network = rpc.machine(session, plain, placement.target)
        self._ticking = rpc.machine(session, ticking, placement.target)
        self._number = 1
        self.network_ms: list[float] = []
        self.ticking_ms: list[float] = []
        self.calls_us: list[list[float]] = []

    def warm_up(self, parameters: Parameters, seconds: float) -> None:
        """Run both for a while, and find out how many runs fill one sample.

        Parameters
        ----------
        seconds
            That the device is given for the first run of each.
        """
        self._number = runs_per_sample(self._network, self._clock, self._inputs, parameters, seconds)
        with silence.at_most(seconds + 1e-3 * parameters.sample_ms):
            self._time(self._ticking, self._inputs, self._notes)

    def sample(self) -> float:
        """Take a sample of each, of every other pair in the other order; return the second one's ratio to the first."""
        for noting in sorted((False, True), reverse=len(self.network_ms) % 2 == 1):
            if noting:
                self.ticking_ms.append(self._time(self._ticking, self._inputs, self._notes))
                last = min(self._number, self._runs)
                spans = elapsed_ns(self._notes.numpy(), self._calls, self._runs, last)
                self.calls_us.append([round(float(each), 4) for each in np.median(spans, axis=0) / 1e3])
            else:
                self.network_ms.append(self._time(self._network, self._inputs))
        return self.ticking_ms[-1] / self.network_ms[-1]

    def _time(self, network: Any, *arguments: Any) -> float:
        """Return the median of the runs of a sample: some of them wait for other processes, whatever they compute."""
        timer = network.time_evaluator("main", self._clock, number=1, repeat=self._number)
        return median(Unbroken().take(lambda: [1e3 * float(seconds) for seconds in timer(*arguments).results]))


def _peaks(session: Any, parameters: Parameters, parents: Parents, placement: Placement) -> tuple[float, float]:
    """Return the device's GFLOP/s of float32, and GB/s of reading as much memory as the network holds.

    A network reads its weights once a run: so much was read since they were read last, and the cache that holds all of
    it is the one that they come from.
    """
    target, threads = tvm.target.Target(dict(placement.target)), parameters.threads
    programs = loaded(session, parents.instrument, instrument.PEAKS, parameters)
    fill, device = session.get_function(FILL), session.cpu()
    own = parents.build.values
    size = max(LEAST_READ, own["memory_bytes"] + threads * own["thread_bytes"])
    shapes = {"arithmetic": peaks.arithmetic(target, threads), "memory": peaks.memory(size, threads)}
    seconds = {}
    for name, arguments in shapes.items():
        arrays = [tvm.runtime.empty(shape, dtype, device) for shape, dtype in arguments]
        for array in arrays:
            fill(array)
        timer = programs.time_evaluator(name, device, number=1, repeat=PEAK_RUNS[name])
        timer(*arrays)
        seconds[name] = min(float(each) for each in timer(*arrays).results)
    read = 4 * prod(shapes["memory"][0][0])
    return peaks.flop(target, threads) / seconds["arithmetic"] / 1e9, read / seconds["memory"] / 1e9
