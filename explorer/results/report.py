"""Finished trials → answers: the best stack within a latency budget, what more accuracy costs, what failed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from explorer.core.configuration import LAYERS
from explorer.core.errors import ExplorerError, did_you_mean
from explorer.search import successive_halving
from explorer.search.successive_halving import Finished
from explorer.space.space_file import RUNGS

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = ("test_images", "convolutions_as_asked", "convolutions")


@dataclass(frozen=True)
class Stack:
    """One measured configuration.

    Parameters
    ----------
    layers
        Layer of the stack → axis → choice.
    accuracy, test_accuracy
        Shares of the validation images, which the search saw, and of the test images, which it did not.
    accuracy_low, accuracy_high
        The 95 % interval of `accuracy`; None where it is not on record.
    latency_ms, latency_low_ms, latency_high_ms
        Median over the samples and its 95 % interval.
    placed, convolutions
        How many of the network's convolutions run the algorithm and format asked for; None where it is not on record.
    """

    number: int
    layers: Mapping[str, Mapping[str, Any]]
    accuracy: float
    test_accuracy: float | None
    test_images: int | None
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float
    size_bytes: int
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    placed: int | None = None
    convolutions: int | None = None

    @property
    def choices(self) -> dict[str, Any]:
        """Axis → choice over all layers."""
        return {axis: choice for layer in self.layers.values() for axis, choice in layer.items()}


@dataclass(frozen=True)
class Best:
    """The answer to: which stack is the most accurate within `budget_ms` on `device`?

    Parameters
    ----------
    stack
        The answer; None where no measured stack fits.
    crosses_budget
        Whether the interval of the stack's median latency reaches beyond the budget, so that it may not fit.
    next_better
        The fastest stack that is more accurate than `stack`; it lies over the budget.
    nearest
        Where nothing fits: the fastest stack that is accurate enough, or else the most accurate within the budget, or
        else the fastest.
    considered, failed
        Trials on the device that were measured, and that failed.
    """

    device: str
    budget_ms: float
    min_accuracy: float | None
    stack: Stack | None
    crosses_budget: bool
    next_better: Stack | None
    nearest: Stack | None
    considered: int
    failed: int

    @property
    def next_costs_ms(self) -> float | None:
        """How much slower than `stack` the next more accurate stack is."""
        if self.stack is None or self.next_better is None:
            return None
        return self.next_better.latency_ms - self.stack.latency_ms

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as plain values for JSON."""
        return {**asdict(self), "next_costs_ms": self.next_costs_ms}


def best(frame: pd.DataFrame, device: str, latency_ms: float, min_accuracy: float | None = None) -> Best:
    """Return the most accurate measured stack whose median latency on `device` is at most `latency_ms`.

    Accuracy is the validation split's, so that the test split stays unseen by every choice. Of equally accurate stacks
    the fastest wins, then the smallest.

    Parameters
    ----------
    frame
        One row per trial.
    min_accuracy
        Share of validation images below which no stack is an answer.

    Raises
    ------
    ExplorerError
        If no trial has run on the device.
    """
    devices = sorted(frame["device"].unique()) if len(frame) else []
    if device not in devices:
        raise ExplorerError(f"no trial has run on device '{device}'{did_you_mean(device, devices)}")
    on_device = frame[frame["device"] == device]
    measured = _by_accuracy(on_device[on_device["state"] == "complete"])
    # Of a study without a complete trial the frame has no column of results.
    fits = measured[measured["latency_ms"] <= latency_ms] if len(measured) else measured
    enough = measured[measured["accuracy"] >= (min_accuracy or 0)] if len(measured) else measured
    answers = fits[fits.index.isin(enough.index)]
    stack = stack_of(answers.iloc[0]) if len(answers) else None
    return Best(
        device=device,
        budget_ms=latency_ms,
        min_accuracy=min_accuracy,
        stack=stack,
        crosses_budget=stack is not None and stack.latency_high_ms > latency_ms,
        next_better=_fastest(measured[measured["accuracy"] > stack.accuracy]) if stack else None,
        nearest=None if stack else _fastest(enough) or _first(fits) or _fastest(measured),
        considered=len(measured),
        failed=int((on_device["state"] == "failed").sum()),
    )


def stack_of(row: pd.Series[Any]) -> Stack:
    """Return a complete trial's row as a `Stack`."""
    plain = {str(name): _plain(value) for name, value in row.items()}
    # A failed trial has none of these, and a column with gaps holds floats.
    whole = {name: None if plain.get(name) is None else int(plain[name]) for name in _COUNTS}
    return Stack(
        number=int(plain["number"]),
        layers={layer: {axis: plain.get(axis) for axis in axes} for layer, axes in LAYERS.items()},
        accuracy=plain["accuracy"],
        test_accuracy=plain.get("test_accuracy"),
        test_images=whole["test_images"],
        latency_ms=plain["latency_ms"],
        latency_low_ms=plain["latency_low_ms"],
        latency_high_ms=plain["latency_high_ms"],
        size_bytes=int(plain["size_bytes"]),
        accuracy_low=plain.get("accuracy_low"),
        accuracy_high=plain.get("accuracy_high"),
        placed=whole["convolutions_as_asked"],
        convolutions=whole["convolutions"],
    )


def failures(frame: pd.DataFrame, state: str = "failed") -> pd.DataFrame:
    """Return one row per stage and kind of failure: how often, in which trials, and the first one's message.

    Parameters
    ----------
    state
        ``"failed"``, or ``"skipped"`` for trials that were left out.
    """
    import pandas as pd

    columns = ["failed_stage", "failure_kind", "trials", "numbers", "failure"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    failed = frame[frame["state"] == state]
    rows = [
        (stage, kind, len(group), group["number"].tolist(), group["failure"].iloc[0])
        for (stage, kind), group in failed.groupby(["failed_stage", "failure_kind"], sort=False)
    ]
    return pd.DataFrame(rows, columns=columns).sort_values("trials", ascending=False, kind="stable")


@dataclass(frozen=True)
class Ranks:
    """What a larger tuning budget changes in the order of the stacks that were judged with both, on one device.

    Parameters
    ----------
    axis, smaller, larger
        The two budgets.
    stacks
        That were judged with both; `pairs` of them have intervals apart with both, and `inverted` are those of another
        order with the larger budget.
    winner, tuned_winner
        Numbers of the trials that are the fastest with the smaller and with the larger budget.
    winner_changes
        Whether the two are different stacks.
    """

    device: str
    axis: str
    smaller: int
    larger: int
    stacks: int
    pairs: int
    inverted: int
    winner: int
    tuned_winner: int
    winner_changes: bool


def ranks(trials: Sequence[Finished]) -> list[Ranks]:
    """Return how the order by latency changes from each tuning budget to the next one, device by device."""
    found = []
    for axis in RUNGS:
        budgets = sorted({int(getattr(trial.configuration, axis)) for trial in trials})
        for device, (smaller, larger) in product(
            dict.fromkeys(t.configuration.device for t in trials), pairwise(budgets)
        ):
            lower, upper = (
                [t for t in trials if t.configuration.device == device and getattr(t.configuration, axis) == budget]
                for budget in (smaller, larger)
            )
            both = successive_halving.climbed(lower, upper, axis)
            if len(both) < 2:
                continue
            counted = successive_halving.inversions(lower, upper, axis)
            before = min(both, key=lambda pair: pair[0].values["latency_ms"])
            after = min(both, key=lambda pair: pair[1].values["latency_ms"])
            found.append(
                Ranks(
                    device, axis, smaller, larger, len({below.number for below, _ in both}), counted.pairs,
                    counted.inverted, before[0].number, after[1].number, before[0].number != after[0].number,
                )
            )  # fmt: skip
    return found


def _by_accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the measured rows, the most accurate first, then the fastest, then the smallest."""
    if rows.empty:
        return rows
    measured = rows[rows["latency_ms"].notna() & rows["accuracy"].notna()]
    return measured.sort_values(["accuracy", "latency_ms", "size_bytes"], ascending=[False, True, True], kind="stable")


def _first(rows: pd.DataFrame) -> Stack | None:
    return stack_of(rows.iloc[0]) if len(rows) else None


def _fastest(rows: pd.DataFrame) -> Stack | None:
    """Return the fastest stack; of equally fast ones the more accurate, which stands first."""
    return _first(rows.sort_values("latency_ms", kind="stable")) if len(rows) else None


def _plain(value: Any) -> Any:
    """Return a cell as a plain value: NumPy scalars unwrapped, None for a gap."""
    import pandas as pd

    if value is None or (not isinstance(value, list | dict) and pd.isna(value)):
        return None
    return value.item() if hasattr(value, "item") else value
