"""Runs of a sample → whether a process stood still in one of them; then the sample is none, and is taken again.

A server that is stopped and continued in the middle of a run has it take seconds by its own clock. Neither the control,
which is read before and after, nor the median of a session tells; the 99th percentile and a mean would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from explorer.core.measurement import clocks

# A run is no measurement that takes so many times as long as its neighbours, and so many ms longer: no process that
# competes for a core holds one for so long.
TIMES, LONGER_MS = 3.0, 100.0
SUSPENDED = 0.05  # seconds between the readings of two clocks that tell of a suspended machine
MOST_AGAIN = 3  # whatever has lasted that long will go on
NEIGHBOURS = 50


class Unbroken:
    """Takes samples of one library that no standstill of a process or machine lies in.

    Parameters
    ----------
    runs
        What the times are means of.

    Attributes
    ----------
    again : how many samples were taken again
    """

    def __init__(self, runs: int = 1) -> None:
        self._runs, self._known = runs, list[float]()
        self.again = 0

    def take(self, sample: Callable[[], list[float]]) -> list[float]:
        """Return what `sample` returns, the ms of each of its runs."""
        for _ in range(MOST_AGAIN):
            before = clocks.suspended()
            times = sample()
            if clocks.suspended() - before < SUSPENDED and not broken(times, self._known, self._runs):
                break
            self.again += 1
        else:
            times = sample()
        self._known = [*self._known, *times][-NEIGHBOURS:]
        return times


def broken(times: Sequence[float], known: Sequence[float] = (), runs: int = 1) -> list[int]:
    """Return the indices of those of `times`, in ms and each of so many `runs`, that a process stood still in.

    Parameters
    ----------
    known
        Earlier times of the same library.
    """
    if not times:
        return []
    typical = median(known) if known else median(times) if len(times) > 2 else min(times)
    limit = typical + max((TIMES - 1) * typical, LONGER_MS / runs)
    return [index for index, each in enumerate(times) if each > limit]


def unbroken(times: Sequence[float]) -> list[float]:
    """Return `times` of the same program without those that a process stood still in."""
    left_out = broken(times)
    return [each for index, each in enumerate(times) if index not in left_out]
