"""Finished trials → for each device, the best stack within each of some latency budgets, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.core.errors import ExplorerError
from explorer.fronts.knee import axes, knees
from explorer.fronts.pareto import on_front
from explorer.results.answers.bases import drops, speed_ups
from explorer.results.answers.best_stack import by_accuracy
from explorer.results.answers.goals import Drop, SpeedUp
from explorer.results.trials.stack import Stack, stack_of
from explorer.space.limits import Limit

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Entry:
    """The most accurate stack on a device within a budget.

    Parameters
    ----------
    budget_ms
        Of a step of the front, the median latency of the stack itself: with any less, another stack is the best.
    stack
        None where no stack keeps the budget.
    keeps
        Probability that the stack keeps the budget, see `Stack.keeps`; of a step of the front it is about a half, as
        the budget is the median.
    knee
        Whether the stack is the knee of the front.
    drop, speed_ups
        The stack beside its uncompressed network, where that is on record; see `explorer.results.answers.bases`.
    """

    device: str
    budget_ms: float
    stack: Stack | None
    keeps: float | None
    knee: bool
    drop: Drop | None
    speed_ups: tuple[SpeedUp, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the entry as plain values for JSON."""
        return {
            "device": self.device,
            "budget_ms": self.budget_ms,
            "stack": self.stack and self.stack.as_dict(),
            "keeps": self.keeps,
            "knee": self.knee,
            "drop": self.drop and self.drop._asdict(),
            "speed_ups": [each.as_dict() for each in self.speed_ups],
        }


def menu(
    frame: pd.DataFrame,
    device: str,
    budgets: Sequence[float] = (),
    limits: Sequence[Limit] = (),
    everywhere: pd.DataFrame | None = None,
) -> list[Entry]:
    """Return the most accurate stack on `device` within each budget, the tightest first.

    Parameters
    ----------
    frame
        One row per trial; of several joined devices, with their rows.
    budgets
        In ms; the steps of the accuracy/latency front unless given.
    limits
        Only stacks that keep all of them count.
    everywhere
        The trials on all devices, among which the uncompressed ones tell the accuracy; `frame` unless given.

    Raises
    ------
    ExplorerError
        If a budget is not above 0.
    """
    for budget in budgets:
        if not budget > 0:
            raise ExplorerError(f"a budget is a latency above 0 ms, not {budget:g}")
    rows = frame[frame["device"] == device] if len(frame) else frame
    measured = by_accuracy(rows[rows["state"] == "complete"]) if len(rows) else rows
    both = axes(frame)
    front = measured[on_front(measured, both, limits)] if len(measured) else measured
    steps = front.drop_duplicates(list(both)).sort_values("latency_ms", kind="stable") if len(front) else front
    bends = set(knees(steps).values())
    lost, gained = drops(measured, frame if everywhere is None else everywhere), speed_ups(measured)
    entries = []
    for budget in sorted(set(budgets)) or list(steps.get("latency_ms", ())):
        fits = steps[steps["latency_ms"] <= budget] if len(steps) else steps
        for index, row in fits.iloc[-1:].iterrows():
            stack = stack_of(row)
            keeps = stack.keeps(budget)
            entries.append(Entry(device, budget, stack, keeps, index in bends, lost.get(index), gained.get(index, ())))
        if fits.empty:
            entries.append(Entry(device, budget, None, None, False, None, ()))
    return entries
