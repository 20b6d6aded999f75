"""Evaluated configurations and what each took → what others would take: stages that are shared cost nothing again.

Of two stacks that promise as much, the one whose network is trained already is the better one to try first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.core.configuration import Configuration
from explorer.line.trials import trial
from explorer.line.trials.dry_run import CountingEngine
from explorer.space.devices import Device
from explorer.space.space import Space

# How long stages take relative to one another, until trials tell: means of a thousand small networks on the digits
# (tests/benchmarks/search.py, kind grid), and what confirming a small tuned one takes (tests/benchmarks/tuning.py).
# A profile has sessions as a comparison has, and harms are of a network that is compiled for them. Any other stage
# takes as long as the shortest of these.
USUAL = {
    "train": 15.0, "compress": 6.0, "confirm": 5.0, "profile": 5.0, "harm": 2.4, "quantize": 2.4, "build": 2.0,
    "data": 1.3, "lower": 0.5, "measure": 0.5,
}  # fmt: skip
# The least that a stack costs, as a share of the trials' mean: asking and recording take time, whatever is shared.
LEAST = 0.02

Execution = tuple[str, object]  # stage and key


class Costs:
    """The seconds that the stages of a space's configurations take.

    Which executions two configurations share follows from the line; what an execution of a stage takes is fitted to
    what trials took, so that what engine and devices they had need not be known.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._engine = _Listing(space.devices)
        self._known: dict[Configuration, frozenset[Execution]] = {}

    def executions(self, configuration: Configuration) -> frozenset[Execution]:
        """Return what is executed for a configuration if nothing is in the store."""
        if configuration not in self._known:
            self._engine.listed.clear()
            trial.run(configuration, self._space.settings, self._engine)
            self._known[configuration] = frozenset(self._engine.listed)
        return self._known[configuration]

    def seconds(
        self, tried: Sequence[tuple[Configuration, float | None]], candidates: Sequence[Configuration]
    ) -> NDArray[np.float64]:
        """Return what each candidate is expected to take.

        Parameters
        ----------
        tried
            Configurations in the order in which they were asked for, and the seconds that they took; None where that is
            not known.
        """
        from scipy.optimize import nnls

        executed: set[Execution] = set()
        rows, taken = [], []
        for configuration, seconds in tried:
            new = self.executions(configuration) - executed
            executed |= new
            if new and seconds is not None:
                rows.append(new)
                taken.append(seconds)
        left = [self.executions(candidate) - executed for candidate in candidates]
        stages = sorted({stage for own in (*rows, *left) for stage, _ in own})
        if not taken or not stages:
            return np.ones(len(candidates))
        # Trials that share little tell their sum alone: one more equation a stage keeps it near what is usual.
        usual = np.array([USUAL.get(stage, min(USUAL.values())) for stage in stages])
        counts, times = _counts(rows, stages), np.array(taken)
        pace = times.sum() / (counts @ usual).sum()
        weights, _ = nnls(np.vstack([counts, np.diag(1 / usual)]), np.append(times, np.full(len(stages), pace)))
        expected: NDArray[np.float64] = np.maximum(_counts(left, stages) @ weights, LEAST * times.mean() or 1.0)
        return expected


def _counts(executions: Sequence[Collection[Execution]], stages: Sequence[str]) -> NDArray[np.float64]:
    """Return how many executions of each stage there are, one row each."""
    places = {stage: place for place, stage in enumerate(stages)}
    counts = np.zeros((len(executions), len(stages)))
    for row, own in zip(counts, executions, strict=True):
        for stage, _ in own:
            row[places[stage]] += 1
    return counts


class _Listing(CountingEngine):
    """Lists the executions of one configuration, each once."""

    def __init__(self, devices: Mapping[str, Device]) -> None:
        super().__init__(devices)
        self.listed: set[Execution] = set()

    def _count(self, stage: str, key: object) -> bool:
        self.listed.add((stage, key))
        return True
