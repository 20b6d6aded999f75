"""Complete trials and what a stack measured before its fine-tuning → why it need not be trained: it stays dominated.

Training changes the accuracy alone. A stack that another one beats in all else is on no front, unless its accuracy
ends above the other's. It is taken to reach at best the accuracy of the trained network, and to mend the largest part
of its errors that a compression's fine-tuning has mended so far in the study.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.core.configuration import Configuration, parts
from explorer.core.measurement.quantities import ACCURACY, LATENCY, SIZE, Quantity
from explorer.space.limits import Limit, violation
from explorer.space.toml.space_file import Direction

# Fine-tuned networks before it is known what fine-tuning mends. If they are alike, the next one mends more than all of
# them in one of 21 cases; it is left out wrongly only if it also is among the best.
MIN_FINE_TUNED = 20

Values = Mapping[str, Any]


class Screen:
    """The best trials of a study on every device, against which others are held before they are trained.

    Parameters
    ----------
    objectives
        Quantity → direction. Accuracy and latency count too, because the study's page shows their front.
    limits
        A stack that breaks one is on no front.
    """

    def __init__(self, objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()) -> None:
        all_of_them: dict[str, Direction] = {str(ACCURACY): "maximize", str(LATENCY): "minimize", **objectives}
        self._objectives = {Quantity.parse(name): direction for name, direction in all_of_them.items()}
        self._limits = limits
        # Replaced as a whole, never changed: trials are held against it while others end.
        self._best: dict[str, tuple[tuple[int, Values], ...]] = {}
        # Data set → fine-tuned network → its errors as a share of those before.
        self._errors_left: dict[str, dict[str, float]] = defaultdict(dict)

    def add(self, number: int, configuration: Configuration, values: Values) -> None:
        """Compare later trials with a complete one that has `values` on record."""
        if configuration.in_float32 != "none" and values.get("trained_accuracy", 1.0) < 1:
            left = (1 - values[str(ACCURACY)]) / (1 - values["trained_accuracy"])
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
            Everything that a complete trial has on record but its accuracies, and ``trained_accuracy``, the accuracy on
            the validation images before anything was removed.
        """
        device = configuration.device
        possible = self._possible(configuration.dataset, known["trained_accuracy"])
        at_best = {**known, **{str(accuracy): possible for accuracy in _everywhere(ACCURACY, device)}}
        best = self._best.get(device, ())
        for limit in self._limits if best else ():
            quantity = Quantity.parse(limit.quantity)
            if quantity.is_measured:  # it counts as the end of its interval that keeps the limit, if one does
                end = 1 if limit.comparison == "<=" else 2
                likely = {str(each): each.interval(at_best)[end] for each in _everywhere(quantity, device)}
            else:
                likely = {}
            if limit.violation(device, {**at_best, **likely}):
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
        better = [_is_better(one, other, *objective) for objective in self._objectives.items()]
        return None not in better and any(better)


def _everywhere(quantity: Quantity, device: str) -> list[Quantity]:
    """Return `quantity` and, of a stack on several devices, what it is on each of them."""
    devices = parts(device)
    return [quantity, *(Quantity(quantity.name, each) for each in devices if len(devices) > 1)]


def _is_better(one: Values, other: Values, quantity: Quantity, direction: Direction) -> bool | None:
    """Return whether `one` is certain to be better, False if both are equal, None if it may be worse.

    The 95 % intervals of what sessions measure have to lie apart, unless both are the same measurement.
    """
    own, others = quantity.interval(one), quantity.interval(other)
    worst, best = own.value, others.value
    if quantity.is_measured and (own.low, own.high) != (others.low, others.high):
        worst, best = (own.high, others.low) if direction == "minimize" else (own.low, others.high)
    if direction == "maximize":
        worst, best = -worst, -best
    return None if worst > best else worst < best


def _brief(values: Values) -> str:
    return f"{values[str(ACCURACY)]:.2%}, {values[str(LATENCY)]:.3f} ms, {values[str(SIZE)]:,} B"


class Everything:
    """A screen that leaves nothing out: with latency first, a latency is that of a network before its fine-tuning."""

    def why_not(self, configuration: Configuration, known: Mapping[str, Any]) -> str | None:
        """Return None."""
        return None
