"""Sessions of a measurement on a device → the latency that another day's sessions would find, and how sure that is.

Within a session, samples hardly differ; sessions do, because the device's state does: the host of a virtual machine
moves its cores apart, neighbours use the memory, the clock falls. So a session counts as one observation, and in each a
control runs beside the network: programs whose time is known. A session that the control took too long in was
disturbed; it stays on record and does not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, NamedTuple

from explorer.core.measurement.quantities import BESIDE, LATENCY, THROUGHPUT, Quantity
from explorer.core.measurement.statistics import Interval

# Columns of a record: how many sessions its latency is of, what disturbed them, where none was quiet, whether their
# device is emulated, and the most memory that its server has held in one of them.
SESSIONS, DISTURBED, EMULATED = "latency_sessions", "latency_disturbed", "latency_emulated"
SERVER_PEAK = "server_peak_bytes"
# The control's readings → the factor over the usual one from which a session was disturbed. On a virtual machine of 2
# cores arithmetic varies by 1 % at good moments and takes 1.05 to 2 times its time where the host has its cores share
# one of its own. Threads wake in 0.8 to 1.1 microseconds while both cores share a cache, and in 1.7 while they do not.
# Reading memory varies by a tenth, and by more where neighbours read it, too (`tests/benchmarks/sessions.py`).
LIMITS = {"arithmetic_ms": 1.04, "wake_us": 1.5, "memory_ms": 1.2}
# Spread of a session's runs, in medians, from which it was disturbed: neighbours that use the memory in bursts show in
# nothing else. In four runs of `tests/benchmarks/repeatability.py` beside other work it is 1 to 4 % as a rule, and
# above 10 % in 14 of the 27 sessions whose median lies a tenth above their stack's least. Where sessions are unsteady
# as a rule, it takes so many times the device's median.
UNSTEADY, UNUSUAL = 0.1, 3.0
LEAST_QUIET = 0.2  # share of a session's samples; of fewer, chance decides
TAKEN = 0.35  # of a core; below that it is what this machine's own part of a session computes
MEANING = {
    "arithmetic_ms": "arithmetic took {:.2f} times as long as at its best",
    "wake_us": "its threads took {:.2f} times as long to meet as at their best",
    "memory_ms": "memory took {:.2f} times as long as usual",
}
# Standard deviation of the logarithms of a stack's sessions, before any stack of the device has several: what quiet
# sessions on a shared host have. It counts for as much as so many sessions of the stack's own.
SPREAD, WEIGHT = 0.03, 4
# The part that the sessions of one run have in common, as a share of their spread. With it, the two intervals of a
# stack overlap in 95 % of all pairs of four runs of the grid in `tests/benchmarks/repeatability.py` within 40 minutes,
# and without it in 89 %.
DRIFT = 0.5
# The median of the square of one normal deviation, as a share of the mean of such squares.
MEDIAN_OF_SQUARES = 0.4549


class Readings(NamedTuple):
    """Typical readings of the control in a session, by its programs; None where the device has no control.

    Parameters
    ----------
    arithmetic_ms, memory_ms
        What a fixed number of multiplications and a fixed number of bytes took.
    wake_us
        What a parallel program without work took; None on one thread.
    taken
        Processor time that the session's threads lacked and other processes or the host had, in cores.
    spread
        Between the quartiles of the network's runs, in medians; the one reading that is of the network itself.
    """

    arithmetic_ms: float | None = None
    wake_us: float | None = None
    memory_ms: float | None = None
    taken: float | None = None
    spread: float | None = None


class Session(NamedTuple):
    """One session in short.

    Parameters
    ----------
    median_ms
        Of its quiet samples.
    readings
        Typical ones of the control.
    beside
        Quantity of `explorer.core.measurement.quantities.BESIDE` → its value in the session.
    server_peak_bytes
        The most memory that the process of the session has held; None where it cannot be read.
    emulated
        Whether the device was emulated, by its entry of the devices file.
    """

    median_ms: float
    readings: Readings = Readings()
    beside: Mapping[str, float] = {}
    server_peak_bytes: int | None = None
    emulated: bool = False


@dataclass(frozen=True)
class Estimate:
    """The latency of a stack on a device, and what else its sessions have measured.

    Parameters
    ----------
    interval
        The median of the sessions' medians in ms, with its 95 % interval.
    sessions
        How many count.
    disturbed
        In one sentence, what disturbed the sessions, where none was quiet: they count then, and it is no latency to
        compare with others. Empty otherwise.
    taken
        How many sessions are on record, those that were disturbed too.
    beside
        Quantity of `explorer.core.measurement.quantities.BESIDE` → the median over the sessions with its 95 % interval.
    server_peak_bytes
        The most memory that the process of a session has held; None where it cannot be read.
    emulated
        Whether the device was emulated in one of the sessions.
    """

    interval: Interval
    sessions: int
    disturbed: str = ""
    taken: int = 0
    beside: Mapping[str, Interval] = field(default_factory=dict)
    server_peak_bytes: int | None = None
    emulated: bool = False

    @property
    def quiet(self) -> int:
        """How many sessions were not disturbed."""
        return 0 if self.disturbed else self.sessions

    def as_columns(self, batch: int) -> dict[str, Any]:
        """Return column → value, as a record has them, of a stack that takes `batch` images at once."""
        columns: dict[str, Any] = LATENCY.as_columns(self.interval)
        for name, interval in self.beside.items():
            columns |= Quantity(name).as_columns(interval)
        rates = (1e3 * batch / self.interval[end] if self.interval[end] else math.inf for end in (0, 2, 1))
        columns |= THROUGHPUT.as_columns(Interval(*rates))
        columns[SESSIONS] = self.sessions
        optional = {
            DISTURBED: self.disturbed or None,
            EMULATED: self.emulated or None,
            SERVER_PEAK: self.server_peak_bytes,
        }
        return columns | {name: value for name, value in optional.items() if value is not None}


def usual(sessions: Iterable[Readings]) -> Readings:
    """Return the readings that sessions on a device are held against.

    Arithmetic and waking have a least time, which most sessions reach. Memory has none, since it is also faster where
    cores lie apart: its median counts, of sessions that the others do not tell to be disturbed, and so does that of
    the spread, of all.
    """
    known = list(sessions)
    least = Readings(
        arithmetic_ms=min((each.arithmetic_ms for each in known if each.arithmetic_ms), default=None),
        wake_us=min((each.wake_us for each in known if each.wake_us), default=None),
    )
    memory = [each.memory_ms for each in known if each.memory_ms and not disturbance(each, least)]
    spreads = [each.spread for each in known if each.spread is not None]
    return least._replace(memory_ms=median(memory) if memory else None, spread=median(spreads) if spreads else None)


def disturbance(readings: Readings, usual: Readings) -> str:
    """Return in one sentence what disturbed a session of these readings; empty if nothing did, or nothing tells."""
    if readings.taken and readings.taken > TAKEN:
        return f"other processes took {readings.taken:.0%} of a core"
    if readings.spread and readings.spread > max(UNSTEADY, UNUSUAL * (usual.spread or 0.0)):
        return f"its runs were unsteady, the middle half of them {readings.spread:.0%} of the median apart"
    for name, limit in LIMITS.items():
        own, known = getattr(readings, name), getattr(usual, name)
        if own and known and own > limit * known:
            return MEANING[name].format(own / known)
    return ""


def disturbances(sessions: Sequence[Readings], known: Readings) -> list[str]:
    """Return what disturbed each of `sessions`, by what all of them and `known` readings tell of the device."""
    typical = usual([known, *sessions])
    return [disturbance(each, typical) for each in sessions]


def pooled_spread(stacks: Iterable[Sequence[float]]) -> float:
    """Return the standard deviation of the logarithms of a stack's sessions, over stacks of one device.

    It is that of most stacks: a few whose sessions differ by far change it little, as their own spread counts for them.

    Parameters
    ----------
    stacks
        Of every stack with several sessions that count, a quantity in each of them.
    """
    squares = []  # each with a mean of the variance, and a median of MEDIAN_OF_SQUARES of it
    for own in stacks:
        logs = [math.log(each) for each in own]
        squares += [(b - a) ** 2 / 2 for a, b in zip(logs[::2], logs[1::2], strict=False)]
    prior = WEIGHT * SPREAD**2
    found = median(squares) / MEDIAN_OF_SQUARES if squares else 0.0
    return math.sqrt((prior + len(squares) * found) / (WEIGHT + len(squares)))


def estimate(medians: Sequence[float], spread: float, confidence: float = 0.95) -> Interval:
    """Return the median of session medians with the interval that the long-run median lies in.

    Logarithms of session medians are taken for normal, with a variance between that of the device's stacks, `spread`
    squared, and that of the stack's own sessions; the first counts as `WEIGHT` sessions (a moderated t statistic:
    Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004). Two sessions alone would give an
    interval 12.7 times as wide as their deviation, and one session none. However many there are, what they share
    remains, `DRIFT`.

    Raises
    ------
    ValueError
        If there are no sessions.
    """
    from scipy.special import stdtrit  # it takes longer to import than all else that `dlas --help` needs

    if not medians:
        raise ValueError("the latency of no sessions")
    logs = [math.log(each) for each in medians]
    middle = fmean(logs)
    own = sum((each - middle) ** 2 for each in logs)
    freedom = WEIGHT + len(logs) - 1
    deviation = math.sqrt((WEIGHT * spread**2 + own) / freedom * (1 / len(logs) + DRIFT**2))
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * deviation
    value = median(medians)
    return Interval(value, value * math.exp(-half), value * math.exp(half))


def latency(sessions: Sequence[Session], usual: Readings, spreads: Mapping[str, float]) -> Estimate | None:
    """Return what sessions of one stack tell; None if there are none.

    Parameters
    ----------
    spreads
        Quantity → its `pooled_spread` on the device; `SPREAD` for those that it lacks.
    """
    if not sessions:
        return None
    causes = [disturbance(each.readings, usual) for each in sessions]
    quiet = [each for each, cause in zip(sessions, causes, strict=True) if not cause]
    counting = quiet or sessions

    def estimated(name: str) -> Interval:
        return estimate([values_of(each)[name] for each in counting], spreads.get(name, SPREAD))

    peaks = [each.server_peak_bytes for each in sessions if each.server_peak_bytes]
    return Estimate(
        estimated(LATENCY.name),
        len(counting),
        "" if quiet else causes[-1],
        len(sessions),
        {name: estimated(name) for name in BESIDE if all(name in each.beside for each in counting)},
        max(peaks, default=None),
        any(each.emulated for each in sessions),
    )


def values_of(session: Session) -> dict[str, float]:
    """Return quantity → its value in a session."""
    return {LATENCY.name: session.median_ms, **session.beside}


def quiet_samples(samples: int, readings: Mapping[str, Sequence[float]], usual: Readings) -> tuple[list[int], Readings]:
    """Return which of a session's `samples` were taken while the control was quiet, and its typical readings then.

    They are none where less than `LEAST_QUIET` of all were.

    Parameters
    ----------
    readings
        ``arithmetic_ms`` and ``wake_us`` before each sample and after the last one, ``memory_ms`` before the first one
        and after the last; a program that was not run has none. Empty without a control.
    usual
        What is known of the device; the session's own best readings count, too.
    """
    if not readings:
        return list(range(samples)), Readings()
    arithmetic, wake = readings["arithmetic_ms"], readings["wake_us"]
    best = Readings(_least(usual.arithmetic_ms, arithmetic), _least(usual.wake_us, wake))
    moments = [Readings(own, wake[index] if wake else None) for index, own in enumerate(arithmetic)]
    good = [not disturbance(each, best) for each in moments]
    kept = [index for index in range(samples) if good[index] and good[index + 1]]
    if len(kept) < LEAST_QUIET * samples:
        kept = []
    beside = sorted({each for index in kept for each in (index, index + 1)}) or range(len(moments))
    # Where no sample is quiet, neither may the session be for readings that were quiet in between.
    typical = median if kept else max
    return kept, Readings(
        arithmetic_ms=typical([arithmetic[index] for index in beside]),
        wake_us=typical([wake[index] for index in beside]) if wake else None,
        memory_ms=median(readings["memory_ms"]),
    )


def _least(known: float | None, own: Sequence[float]) -> float | None:
    return min([*own, *([known] if known else [])], default=None)
