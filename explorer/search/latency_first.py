"""Complete trials and what a stack measured before its fine-tuning → why it need not be trained: it stays dominated.

Training changes the accuracy alone. A stack that another one beats in all else is on no front, unless its accuracy
ends above the other's. The most that it can is taken to be what the trained network has, and the largest part of its
errors that a compression's fine-tuning has mended so far in the study.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.core.configuration import Configuration, in_float32, parts
from explorer.space.limits import Limit, violation
from explorer.space.space_file import ON, Direction, interval_of

# Only training tells it; all other quantities are known before.
ACCURACY = "accuracy"
LATENCY = "latency_ms"

# Fine-tuned networks before it is known what fine-tuning mends. If they are alike, the next one mends more than all of
# them once in as many times and one; it has to be among the best, too, to be left out wrongly.
MIN_FINE_TUNED = 20

Values = Mapping[str, Any]


class Screen:
    """The best trials of a study on every device, against which others are held before they are trained.

    Parameters
    ----------
    objectives
        Quantity → direction. Accuracy and latency always count, since the study's page shows their front.
    limits
        Stacks that break one are on no front.
    """

    def __init__(self, objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()) -> None:
        self._objectives: dict[str, Direction] = {ACCURACY: "maximize", LATENCY: "minimize", **objectives}
        self._limits = limits
        # Replaced as a whole, never changed: trials are held against it while others end.
        self._best: dict[str, tuple[tuple[int, Values], ...]] = {}
        # Data set → fine-tuned network → its errors as a share of those before.
        self._errors_left: dict[str, dict[str, float]] = defaultdict(dict)

    def add(self, number: int, configuration: Configuration, values: Values) -> None:
        """Compare later trials with a complete one, which has `values` on record."""
        if in_float32(configuration.compression) != "none" and values.get("trained_accuracy", 1.0) < 1:
            left = (1 - values[ACCURACY]) / (1 - values["trained_accuracy"])
            self._errors_left[configuration.dataset][values["compress_key"]] = left
        device = configuration.device
        if violation(self._limits, device, values):
            return
        best = self._best.get(device, ())
        if not any(self._beats(other, values) for _, other in best):
            kept = tuple((own, other) for own, other in best if not self._beats(values, other))
            self._best[device] = (*kept, (number, values))

    def why_not(self, configuration: Configuration, known: Values) -> str | None:
        """Return why not to train a stack, in one sentence; None if it may reach the front.

        Parameters
        ----------
        known
            All that is on record of a complete trial but its accuracies, and ``trained_accuracy``, the one on the
            validation images before anything was removed.
        """
        device = configuration.device
        possible = self._possible(configuration.dataset, known["trained_accuracy"])
        at_best = {**known, **dict.fromkeys(_everywhere(ACCURACY, device), possible)}
        best = self._best.get(device, ())
        for limit in self._limits if best else ():
            # A latency counts as the least that it may be.
            least = {name: at_best[interval_of(name)[0]] for name in _everywhere(LATENCY, device)}
            least = {**at_best, **(least if limit.comparison == "<=" else {})}
            if limit.violation(device, least):
                return f"at {_brief(at_best)} at best it breaks the limit {limit}, which trial {best[0][0]} keeps"
        for number, other in best:
            if self._beats(other, at_best):
                return f"trial {number} is better: {_brief(other)} against {_brief(at_best)} at best"
        return None

    def _possible(self, dataset: str, trained: float) -> float:
        """Return the best accuracy that fine-tuning a network of accuracy `trained` is taken to reach."""
        left = tuple(self._errors_left[dataset].values())
        return 1 - (1 - trained) * min(1.0, *left) if len(left) >= MIN_FINE_TUNED else 1.0

    def _beats(self, one: Values, other: Values) -> bool:
        """Tell whether `one` is better in an objective by its whole interval and worse in none."""
        better = [_certainly(one, other, *objective) for objective in self._objectives.items()]
        return None not in better and any(better)


def _everywhere(quantity: str, device: str) -> list[str]:
    """Return what `quantity` is on record as: on the worst of several devices and on each, or on the only one."""
    devices = parts(device)
    return [quantity, *(f"{quantity}{ON}{each}" for each in devices if len(devices) > 1)]


def _certainly(one: Values, other: Values, quantity: str, direction: Direction) -> bool | None:
    """Return whether `one` is better, False if both are equal, None if it may be worse.

    Of latencies the 95 % intervals have to lie apart, unless it is one and the same measurement.
    """
    own, others = float(one[quantity]), float(other[quantity])
    interval = interval_of(quantity)
    if quantity.partition(ON)[0] == LATENCY and any(one[name] != other[name] for name in interval):
        low, high = interval if direction == "minimize" else reversed(interval)
        own, others = float(one[high]), float(other[low])
    if direction == "maximize":
        own, others = -own, -others
    return None if own > others else own < others


def _brief(values: Values) -> str:
    return f"{values[ACCURACY]:.2%}, {values[LATENCY]:.3f} ms, {values['size_bytes']:,} B"
