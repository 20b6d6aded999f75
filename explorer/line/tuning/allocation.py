"""Layers and their measurements → the layer whose next candidates promise to save the network the most time.

Source: the task scheduler of Zheng et al., "Ansor: Generating High-Performance Tensor Programs for Deep Learning", OSDI
2020, with the constants of MetaSchedule's gradient scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from explorer.line.tuning.database import Trial

# Share of the last steps' progress in the expected gain; the rest is what is left to gain if it were to fall to zero at
# the rate of the trials so far.
BACKWARD = 0.2
WINDOW = 3


@dataclass
class Progress:
    """How far the tuning of one layer is.

    Attributes
    ----------
    calls : how often a run of the network calls it
    rule_ms : of the rule-based schedule
    trials : taken into account, in their order
    exhausted : whether there is nothing left to try
    """

    calls: int
    rule_ms: float
    trials: list[Trial] = field(default_factory=list)
    exhausted: bool = False
    _best: list[float] = field(default_factory=list)  # after each step

    @property
    def best_ms(self) -> float:
        """Milliseconds of the best schedule known."""
        return self._best[-1] if self._best else self.rule_ms

    def step(self, trials: Sequence[Trial]) -> None:
        """Take in the trials of one step."""
        self.trials += trials
        self._best.append(min([self.best_ms, *(trial.ms for trial in trials if trial.ms is not None)]))

    @property
    def expected_gain(self) -> float:
        """Milliseconds of a run of the network that the next step is expected to save."""
        if not self._best:
            return float("inf")
        steps = len(self._best)
        before = self._best[-1 - WINDOW] if steps > WINDOW else self.rule_ms
        backward = (before - self._best[-1]) / min(WINDOW, steps)
        return self.calls * (BACKWARD * backward + (1 - BACKWARD) * self._best[-1] / steps)


def following(layers: Sequence[Progress]) -> int | None:
    """Return the index of the layer that is next, None if there is nothing left to try.

    Every layer has a step first, those that take most of the network's time in front.
    """
    left = [index for index, layer in enumerate(layers) if not layer.exhausted]
    if not left:
        return None
    return max(left, key=lambda index: (layers[index].expected_gain, layers[index].calls * layers[index].rule_ms))
