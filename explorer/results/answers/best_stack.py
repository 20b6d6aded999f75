"""Finished trials and goals → the best stack that reaches them, and what more accuracy costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.core.errors import ExplorerError, did_you_mean
from explorer.core.measurement.metric import Metric
from explorer.results.answers.bases import judge
from explorer.results.answers.goals import Drop, Goals, SpeedUp
from explorer.results.trials.stack import Choice, OnDevice, Stack, stack_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Best", "Choice", "OnDevice", "Stack", "best", "stack_of"]


@dataclass(frozen=True)
class Best:
    """The answer to: which stack on `device` reaches the goals, and is the most accurate, or the fastest, such one?

    Parameters
    ----------
    goals
        What was asked. Where they bound the latency, the most accurate stack is wanted, and else the fastest.
    stack
        The answer; None where no measured stack reaches the goals.
    crosses_budget
        Whether the interval of the stack's median latency, on any of its devices, reaches beyond the budget, so that
        it may not fit.
    confidence
        Probability that the stack is fast enough, see `Goals.likely`; None where no stack fits or any speed will do.
    next_better
        The fastest stack that is more accurate than `stack`; it is not fast enough, or not with enough confidence, or
        not the fastest.
    nearest
        Where nothing fits: the fastest stack that is accurate enough, or else the most accurate that is fast enough,
        or else the fastest.
    drop
        What `stack`, or else `nearest`, loses against the uncompressed network, where that is asked.
    speed_ups
        Likewise how many times it is as fast, on each device.
    considered, failed
        Trials on the device that were measured, and that failed.
    without_base
        Measured trials that a goal left out, as there is no trial of their uncompressed network on record.
    why
        In one sentence how the latency of `stack`, or else of `nearest`, compares with that of the same stack
        uncompressed, and why; "" where nothing tells.
    """

    device: str
    goals: Goals
    stack: Stack | None
    crosses_budget: bool
    confidence: float | None
    next_better: Stack | None
    nearest: Stack | None
    drop: Drop | None
    speed_ups: tuple[SpeedUp, ...]
    considered: int
    failed: int
    without_base: int
    why: str = ""

    @property
    def next_costs_ms(self) -> float | None:
        """How much slower than `stack` the next more accurate stack is."""
        if self.stack is None or self.next_better is None:
            return None
        return self.next_better.latency_ms - self.stack.latency_ms

    def as_dict(self) -> dict[str, object]:
        """Return the answer as plain values for JSON."""
        stacks = {"stack": self.stack, "next_better": self.next_better, "nearest": self.nearest}
        return {
            "device": self.device,
            **self.goals.as_dict(),
            **{name: stack and stack.as_dict() for name, stack in stacks.items()},
            "crosses_budget": self.crosses_budget,
            "confidence": self.confidence,
            "next_costs_ms": self.next_costs_ms,
            "drop": self.drop and self.drop._asdict(),
            "speed_ups": [each.as_dict() for each in self.speed_ups],
            "considered": self.considered,
            "failed": self.failed,
            "without_base": self.without_base,
            "why": self.why,
        }


def best(frame: pd.DataFrame, device: str, goals: Goals, everywhere: pd.DataFrame | None = None) -> Best:
    """Return the most accurate stack on `device` that is fast enough, or the fastest where any speed will do.

    On several devices, such as ``"a+b"``, latencies are those on each of them. Accuracy is the validation split's, so
    that the test split stays unseen by every choice. Of equally accurate stacks the fastest wins, then the smallest;
    of equally fast ones the most accurate.

    Parameters
    ----------
    frame
        One row per trial.
    everywhere
        The trials on all devices, among which the uncompressed ones tell the accuracy; `frame` unless given.

    Raises
    ------
    ExplorerError
        If no trial has run on the device, or none has a base that a goal is relative to.
    """
    devices = sorted(frame["device"].unique()) if len(frame) else []
    if device not in devices:
        raise ExplorerError(f"no trial has run on device '{device}'{did_you_mean(device, devices)}")
    on_device = frame[frame["device"] == device]
    measured = by_accuracy(on_device[on_device["state"] == "complete"])
    found = judge(measured, goals, frame if everywhere is None else everywhere)
    enough, fits = (measured[measured.index.isin(list(those))] for those in (found.accurate, found.fast))
    answers = enough[enough.index.isin(list(found.fast))]
    if not goals.bounds_latency:
        answers = _by_latency(answers)
    told = next((rows for rows in (answers, _by_latency(enough), fits, _by_latency(measured)) if len(rows)), measured)
    index = told.index[0] if len(told) else None
    stack = _first(answers)
    return Best(
        device=device,
        goals=goals,
        stack=stack,
        crosses_budget=stack is not None and goals.budget_ms is not None and stack.high_ms > goals.budget_ms,
        confidence=found.likely.get(index) if stack and goals.bounds_latency else None,
        next_better=_first(_by_latency(_better(enough, stack, goals.metric))) if stack else None,
        nearest=None if stack else _first(told),
        drop=found.drops.get(index),
        speed_ups=found.speed_ups.get(index, ()),
        considered=len(measured),
        failed=int((on_device["state"] == "failed").sum()),
        without_base=found.without_base,
    )


def by_accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the measured ones among complete trials: the most accurate first, then the fastest, then the smallest.

    Of another metric than the accuracy, the best first.
    """
    if rows.empty:
        return rows
    metric = Metric.of_frame(rows)
    measured = rows[rows["latency_ms"].notna() & rows[metric.name].notna()]
    order = [metric.name, "latency_ms", "size_bytes"]
    return measured.sort_values(order, ascending=[not metric.maximised, True, True], kind="stable")


def _better(rows: pd.DataFrame, stack: Stack, metric: Metric) -> pd.DataFrame:
    """Return the rows whose metric is better than the stack's."""
    return rows[metric.sign * (rows[metric.name] - stack.accuracy) > 0]


def _by_latency(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the order of `by_accuracy` with the fastest first; of equally fast ones the more accurate."""
    return rows.sort_values("latency_ms", kind="stable") if len(rows) else rows


def _first(rows: pd.DataFrame) -> Stack | None:
    return stack_of(rows.iloc[0]) if len(rows) else None
