"""Goals for a stack → whether a trial on record reaches it, given its uncompressed base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from explorer.core.errors import ExplorerError
from explorer.core.measurement.metric import ACCURACY, Metric
from explorer.core.measurement.quantities import LATENCY
from explorer.core.measurement.statistics import Interval
from explorer.fronts import certainty

ROUNDING = 1e-9  # by which the difference of two shares may miss what it is in decimals: 0.97 - 0.96 > 0.01

Row = Mapping[str, Any]  # column → value


@dataclass(frozen=True)
class Goals:
    """What a stack has to reach.

    Parameters
    ----------
    budget_ms
        Median latency that it takes at most.
    min_accuracy
        Share of the validation images that it classifies at least.
    max_drop
        Share of the validation images by which its accuracy may lie below that of the uncompressed network; of another
        metric, by how much it may be worse.
    min_speed_up
        Times that it is at least as fast as the uncompressed network.
    min_confidence
        Probability, above 0 and below 1, with which it must keep the budget and reach the speed-up; None where the
        medians alone must.
    metric_bound
        The same as `min_accuracy` for a metric of the user's own: what it is at least or, minimised, at most.
    metric
        What the study's networks are judged by; drops are in its unit.

    Raises
    ------
    ExplorerError
        If nothing is asked, or a goal cannot be meant.
    """

    budget_ms: float | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    min_speed_up: float | None = None
    min_confidence: float | None = None
    metric_bound: float | None = None
    metric: Metric = ACCURACY

    def __post_init__(self) -> None:
        if self.min_confidence is not None and not 0 < self.min_confidence < 1:
            raise ExplorerError(f"confidence is a probability above 0 and below 1, not {self.min_confidence:g}")
        if self.min_accuracy is not None and not self.metric.is_accuracy:
            raise ExplorerError(
                f"this study has {self.metric.name} in place of an accuracy; give --metric-bound for --min-accuracy"
            )
        if self.metric_bound is not None and self.metric.is_accuracy:
            raise ExplorerError("this study has no metric of its own but an accuracy; give --min-accuracy")
        if self.max_drop is not None and not 0 <= self.max_drop < (1 if self.metric.is_accuracy else math.inf):
            if not self.metric.is_accuracy:
                raise ExplorerError(f"max drop is a loss of {self.metric.name} from 0, not {self.max_drop:g}")
            raise ExplorerError(
                f"max drop is a share from 0 to below 1, such as 0.01 for one point of accuracy, not {self.max_drop:g}"
            )
        if self.min_speed_up is not None and not 0 < self.min_speed_up < math.inf:
            raise ExplorerError(f"speed-up is a factor above 0, such as 2 for twice as fast, not {self.min_speed_up:g}")
        if not self.bounds_latency and self.least is None and self.max_drop is None:
            option = "--min-accuracy" if self.metric.is_accuracy else "--metric-bound"
            raise ExplorerError(f"nothing is asked of the stack; give --latency-ms, --speed-up, --max-drop or {option}")
        if self.min_confidence is not None and not self.bounds_latency:
            raise ExplorerError(
                "a confidence says how surely a stack is fast enough; give --latency-ms or --speed-up with it"
            )

    def as_dict(self) -> dict[str, object]:
        """Return the goals as plain values for JSON; those of a metric of the user's own only where there is one."""
        own = ("metric", "metric_bound")
        asked = {name: value for name, value in vars(self).items() if name not in own}
        return asked if self.metric.is_accuracy else {**asked, "metric_bound": self.metric_bound, **self.metric.columns}

    @property
    def bounds_latency(self) -> bool:
        """Whether a stack has to be fast enough: the most accurate such one is wanted then, and else the fastest."""
        return self.budget_ms is not None or self.min_speed_up is not None

    @property
    def least(self) -> float | None:
        """The worst value of the metric that is good enough; None where any is."""
        return self.min_accuracy if self.metric_bound is None else self.metric_bound

    def likely(self, latencies: Sequence[Interval], speed_ups: Sequence[SpeedUp]) -> float:
        """Return the probability that a stack is fast enough on each of its devices.

        It is a product, of devices, which are measured apart, and of budget and speed-up, which a fast moment helps
        both: so the probability of all together is at least that.
        """
        kept = (
            [certainty.keeps_budget(each, self.budget_ms) for each in latencies] if self.budget_ms is not None else []
        )
        reached = [each.reaches(self.min_speed_up) for each in speed_ups] if self.min_speed_up is not None else []
        return math.prod([*kept, *reached])

    def is_fast(self, row: Row, speed_ups: Sequence[SpeedUp]) -> bool:
        """Tell whether the medians of a trial on record are fast enough."""
        kept = self.budget_ms is None or row[str(LATENCY)] <= self.budget_ms
        return kept and (self.min_speed_up is None or all(each.factor.value >= self.min_speed_up for each in speed_ups))

    def is_accurate(self, row: Row, drop: Drop | None) -> bool:
        """Tell whether a trial on record is accurate enough; without a base, it is not where that is asked."""
        near = self.max_drop is None or (drop is not None and drop.drop <= self.max_drop + ROUNDING)
        return near and (self.least is None or self.metric.gain(row[self.metric.name], self.least) >= 0)


class Drop(NamedTuple):
    """How far the accuracy of a stack lies below that of the uncompressed network.

    Parameters
    ----------
    base
        Number of the uncompressed trial.
    base_accuracy, drop
        Shares of the validation images, or values of another metric; `drop` is negative for a stack that is better.
    """

    base: int
    base_accuracy: float
    drop: float


class SpeedUp(NamedTuple):
    """How many times a stack is as fast as the uncompressed network, on one device.

    Parameters
    ----------
    base
        Number of the uncompressed trial.
    base_latency
        Its median in ms, with its 95 % interval.
    factor
        That over the latency of the stack, with its 95 % interval.
    """

    device: str
    base: int
    base_latency: Interval
    factor: Interval

    def reaches(self, factor: float) -> float:
        """Return the probability that the stack is at least `factor` times as fast."""
        value, low, high = self.factor
        return certainty.keeps_budget(Interval(1 / value, 1 / high, 1 / low), 1 / factor)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values for JSON."""
        factor = dict(zip(("factor", "factor_low", "factor_high"), self.factor, strict=True))
        base = {f"base_{column}": value for column, value in LATENCY.as_columns(self.base_latency).items()}
        return {"device": self.device, "base": self.base, **base, **factor}
