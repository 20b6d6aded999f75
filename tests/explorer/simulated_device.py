"""A device whose latencies have modes and drift, in place of the clock: placements, bursts, a common drift, noise."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from explorer.core.measurement.sessions import Estimate, Readings, Session, quiet_samples
from explorer.search.refinement import REPEATS
from explorer.workspace.database.records import Records

HOURS = 48
WAKE = {"near": 0.8, "far": 1.7}  # microseconds that threads take to meet, by placement
ARITHMETIC_MS, MEMORY_MS = 0.3, 2.0
SAMPLE_S = 0.02  # a sample and the control's readings beside it
SAMPLES, MOST = 20, 60
BETWEEN_S = 1.0  # two sessions
NAME = "simulated"
CHUNK = 20  # sessions that one transaction writes


@dataclass(frozen=True)
class Stack:
    """A stack as the device runs it.

    Attributes
    ----------
    truth : its latency in ms in the near placement, with no burst and no drift
    far : the factor of its latency in the far placement
    spread : standard deviation of the logarithms of its sessions, which nothing tells the cause of
    """

    truth: float
    far: float
    spread: float


class SimulatedDevice:
    """A device of two cores whose host moves them apart and together, and lets neighbours in.

    Parameters
    ----------
    far
        Share of the time in which the cores lie apart.
    drift
        Largest share by which a slow drift changes all latencies, to either side.
    """

    def __init__(self, seed: int, far: float = 0.35, drift: float = 0.02) -> None:
        self._drawn = np.random.default_rng(seed)
        seconds = HOURS * 3600.0
        self._placements = self._switches(seconds, 30.0 * 2 * (1 - far), 30.0 * 2 * far)
        self._bursts = self._switches(seconds, 40.0, 2.0)
        self._factors = self._drawn.uniform(1.05, 2.0, len(self._bursts))
        periods, phases = self._drawn.uniform(180, 900, 3), self._drawn.uniform(0, 2 * math.pi, 3)
        weights = drift * self._drawn.dirichlet(np.ones(3))
        self._waves = list(zip(weights, periods, phases, strict=True))

    def stack(self) -> Stack:
        """Draw a stack."""
        draw = self._drawn.uniform
        return Stack(math.exp(draw(math.log(0.3), math.log(300))), draw(0.8, 2.0), draw(0.02, 0.04))

    def is_far(self, time: float) -> bool:
        """Tell whether the cores lie apart."""
        return bisect_right(self._placements, time) % 2 == 1

    def burst(self, time: float) -> float:
        """Return the factor of arithmetic."""
        number = bisect_right(self._bursts, time)
        return float(self._factors[number - 1]) if number % 2 else 1.0

    def drift(self, time: float) -> float:
        """Return the factor of all latencies that nothing tells."""
        waves = (weight * math.sin(2 * math.pi * time / period + phase) for weight, period, phase in self._waves)
        return math.exp(sum(waves))

    def session(self, stack: Stack, time: float, usual: Readings) -> Session:
        """Measure a stack at a moment, as stage ``measure`` does: 20 samples, up to 60 until 10 are quiet."""
        own = stack.truth * math.exp(self._drawn.normal(0, stack.spread))
        readings: dict[str, list[float]] = {"arithmetic_ms": [], "wake_us": [], "memory_ms": []}
        readings["memory_ms"] = [self._memory(time), self._memory(time + SAMPLES * SAMPLE_S)]
        samples: list[float] = []

        def read() -> None:
            now = time + len(samples) * SAMPLE_S
            noise = 1 + abs(self._drawn.normal(0, 0.005, 2))
            readings["arithmetic_ms"].append(ARITHMETIC_MS * self.burst(now) * noise[0])
            readings["wake_us"].append(WAKE["far" if self.is_far(now) else "near"] * noise[1] ** 8)

        read()
        quiet: list[int] = []
        while len(samples) < MOST and len(quiet) < SAMPLES / 2 and (not samples or quiet):
            for _ in range(SAMPLES):
                now = time + (len(samples) + 0.5) * SAMPLE_S
                factor = (stack.far if self.is_far(now) else 1.0) * self.burst(now) * self.drift(now)
                samples.append(own * factor * math.exp(self._drawn.normal(0, 0.005)))
                read()
            quiet, typical = quiet_samples(len(samples), readings, usual)
        return Session(median([samples[index] for index in quiet] or samples), typical)

    def _memory(self, time: float) -> float:
        return MEMORY_MS * (0.8 if self.is_far(time) else 1.0) * math.exp(self._drawn.normal(0, 0.1))

    def _switches(self, seconds: float, off: float, on: float) -> list[float]:
        """Return the times at which a state begins, ends, begins, …, with mean dwell times in seconds."""
        count = int(3 * seconds / (on + off)) + 10
        dwells = np.stack([self._drawn.exponential(off, count), self._drawn.exponential(on, count)], axis=1).ravel()
        times: list[float] = np.cumsum(dwells).tolist()
        return times


class Measured:
    """Stacks on a simulated device, whose sessions go on real records one after the other.

    Attributes
    ----------
    now : the device's time in seconds
    taken : how many sessions there were
    """

    def __init__(self, device: SimulatedDevice, stacks: Sequence[Stack], records: Records) -> None:
        self.now, self.taken = 0.0, 0
        self._device, self._stacks, self._records = device, stacks, records

    def measure(self, numbers: Sequence[int]) -> None:
        """Add a session to each of the stacks of these numbers."""
        for first in range(0, len(numbers), CHUNK):
            usual = self._records.sessions.usual(NAME, 1)
            with self._records.engine.begin() as connection:
                for number in numbers[first : first + CHUNK]:
                    session = self._device.session(self._stacks[number], self.now, usual)
                    self._records.sessions.add(connection, self.taken, str(number), NAME, 1, session)
                    self.now += SAMPLES * SAMPLE_S + BETWEEN_S
                    self.taken += 1

    def by_protocol(self, extra: Sequence[int], most: int) -> list[Estimate]:
        """Give each stack two sessions, repeat disturbed ones, and bring those of `extra` up to `most`."""
        everything = range(len(self._stacks))
        self.measure(everything)
        self.measure(everything)
        for _ in range(REPEATS):
            self.measure([number for number, known in enumerate(self.latencies()) if self._quiet(known) < 2])
        for _ in range(most - 2):
            known = self.latencies()
            self.measure([number for number in extra if self._quiet(known[number]) < most])
        return self.latencies()

    def latencies(self) -> list[Estimate]:
        """Return what is known of each stack."""
        found = self._records.sessions.latencies()
        return [found[str(number), NAME] for number in range(len(self._stacks))]

    @staticmethod
    def _quiet(known: Estimate) -> int:
        return 0 if known.disturbed else known.sessions
