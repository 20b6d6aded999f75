"""Tuned and rule-based library of a network → which of them a device runs faster, by several sessions with both.

Tuning compares layer by layer, in a part of the network's surroundings; what is best of each need not be of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import tvm

from explorer.core.measurement.sessions import Readings, estimate, quiet_samples
from explorer.core.measurement.standstills import Unbroken
from explorer.core.measurement.statistics import Interval
from explorer.line.checking.batches import filled
from explorer.line.checking.first_wrong_layer import Placement
from explorer.line.checking.reference import Reference
from explorer.line.contracts.confirm import Parameters, Parents, Session, Values
from explorer.line.device import rpc, silence
from explorer.line.device.control import taken
from explorer.line.device.counting import counting, mark, undisturbed
from explorer.line.device.session import control_in, first_run_seconds, placed, runs_per_sample, sampled, until_quiet
from explorer.line.execution import current
from explorer.line.stages.build import LAYERS, LIBRARY
from explorer.space.gpu_targets import is_gpu

VERSION = 1
WORKER = "tvm"
SESSION_SECONDS = 600
# Sessions that have to count, and so many in all at most, disturbed ones included: a session more is taken as long as
# the interval leaves open which library is faster.
LEAST, MOST = 3, 8
# Standard deviation of the logarithms of a network's ratios, before its own sessions tell: quiet ones have 0.4 to 2 %
# (tests/benchmarks/tuning.py, kind confirm). Latencies vary more, since what slows the device slows both libraries.
SPREAD = 0.015


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Sample both libraries in turns, in sessions that load them anew, until their order is certain or patience ends.

    Raises
    ------
    DeviceError
        If the device does not answer.
    """
    sessions: list[Session] = []
    no_control = ""
    while not _settled(sessions):
        session, no_control = _session(parameters, parents, tuned_first=len(sessions) % 2 == 0)
        sessions.append(session)
        mark(sessions, parameters.usual)
        current().advance(len(sessions), MOST, f"tuned to untuned {_ratio(sessions).value:.3f}")
    ratio = _ratio(sessions)
    return {
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "faster": ratio.high < 1,
        "counted": len(counting(sessions)),
        "sessions": sessions,
        "no_control": no_control,
    }


def _settled(sessions: Sequence[Session]) -> bool:
    """Tell whether enough sessions were quiet to say which library is faster, or there have been enough of any kind."""
    if len(sessions) >= MOST:
        return True
    if len(undisturbed(sessions)) < LEAST:
        return False
    ratio = _ratio(sessions)
    return ratio.high < 1 or ratio.low > 1


def _ratio(sessions: Sequence[Session]) -> Interval:
    """Return the ratio with the interval that another day's sessions would find it in."""
    return estimate([each["ratio"] for each in counting(sessions)], SPREAD)


def _session(parameters: Parameters, parents: Parents, tuned_first: bool) -> tuple[Session, str]:
    """Sample both libraries in a session of its own; return it, and why it has no control, if it has none.

    Parameters
    ----------
    tuned_first
        Whether the tuned library is loaded first.
    """
    address = parameters.address
    session = rpc.connect(address.tracker, address.key, SESSION_SECONDS)
    rpc.set_threads(session, parameters.threads, "confirm", address.key)
    placement = Placement.load(parents.lower.path)
    control, no_control = control_in(session, parents.control, parameters, placement.target)
    images = Reference.load(parents.network.path).images
    inputs = tvm.runtime.tensor(filled(images, placement.batch), rpc.device(session, placement.target))
    libraries = {"tuned": parents.tuned, "untuned": parents.untuned}
    first_run = first_run_seconds(parents.untuned.path / LAYERS, placement.target)
    with silence.at_most(2 * first_run):
        networks = {
            name: rpc.machine(session, placed(session, libraries[name], LIBRARY, parameters), placement.target)
            for name in sorted(libraries, reverse=not tuned_first)
        }
    waited = until_quiet(control, parameters) if control else 0.0
    timers: dict[str, Any] = {}
    unbroken: dict[str, Unbroken] = {}
    clock = session.cpu()
    for name, network in networks.items():
        number = runs_per_sample(network, clock, inputs, parameters, first_run)
        timers[name] = network.time_evaluator("main", clock, number=number, repeat=1)
        unbroken[name] = Unbroken(number)
    pairs: list[dict[str, float]] = []

    def timed(name: str) -> list[float]:
        return [1e3 * float(timers[name](inputs).mean)]

    def ratio() -> float:
        """Take a sample of each library, of every other pair in the other order; return their ratio."""
        order = sorted(timers, reverse=len(pairs) % 2 == 1)
        pairs.append({name: unbroken[name].take(partial(timed, name))[0] for name in order})
        return pairs[-1]["tuned"] / pairs[-1]["untuned"]

    before = control.state() if control else None
    ratios, readings = sampled(ratio, control, parameters, 2 * first_run)
    after = control.state() if control else None
    quiet, typical = quiet_samples(len(ratios), readings, Readings(*parameters.usual))
    if before and after and not is_gpu(placement.target):  # a thread that waits for a GPU leaves its core to others
        typical = typical._replace(taken=taken(before, after, parameters.threads))
    kept = pairs[len(pairs) - len(ratios) :]  # one before them has warmed the caches
    return {
        "ratio": median([ratios[index] for index in quiet] or ratios),
        "tuned_ms": [pair["tuned"] for pair in kept],
        "untuned_ms": [pair["untuned"] for pair in kept],
        "quiet": quiet,
        "readings": readings,
        "typical": list(typical),
        "disturbed": "",
        "waited_s": waited,
        "state": {"before": before, "after": after, "tvm": tvm.__version__},
    }, no_control
