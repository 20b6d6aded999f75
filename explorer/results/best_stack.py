"""Finished trials → the best stack within a latency budget, and what more accuracy costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.core.configuration import LAYERS, parts
from explorer.core.errors import ExplorerError, did_you_mean
from explorer.core.quantities import ACCURACY, LATENCY, Quantity, on_device
from explorer.core.sessions import DISTURBED, EMULATED
from explorer.core.statistics import Interval
from explorer.fronts import certainty

if TYPE_CHECKING:
    import pandas as pd

Choice = str | int | float | None  # on one axis; None where the axis does not exist


class OnDevice(NamedTuple):
    """A stack on one of several devices: the trial that tells its latency there."""

    number: int
    latency: Interval
    emulated: bool = False


@dataclass(frozen=True)
class Stack:
    """One measured configuration.

    Parameters
    ----------
    layers
        Layer of the stack → axis → choice.
    accuracy, test_accuracy
        Shares of the validation images, which the search saw, and of the test images, which it did not.
    accuracy_interval
        `accuracy` with its 95 % interval; None where that is not on record.
    latency
        Median over the samples, in ms, with its 95 % interval; on the slowest device of several.
    disturbed
        Why no session that measured the latency was quiet, in one sentence; None for a good latency.
    emulated
        Whether the device, or one of several, is emulated.
    placed, convolutions
        How many of the network's convolutions run the algorithm and format asked for; None where it is not on record.
    on_each
        Of a stack on several devices: what it is on each.
    """

    number: int
    layers: Mapping[str, Mapping[str, Choice]]
    accuracy: float
    test_accuracy: float | None
    test_images: int | None
    latency: Interval
    size_bytes: int
    accuracy_interval: Interval | None = None
    placed: int | None = None
    convolutions: int | None = None
    disturbed: str | None = None
    emulated: bool = False
    on_each: Mapping[str, OnDevice] = field(default_factory=dict)

    @property
    def latency_ms(self) -> float:
        """Median over the samples."""
        return self.latency.value

    @property
    def latencies(self) -> tuple[Interval, ...]:
        """The latency on each of the devices."""
        return tuple(each.latency for each in self.on_each.values()) or (self.latency,)

    @property
    def high_ms(self) -> float:
        """The highest end of the latencies' intervals."""
        return max(latency.high for latency in self.latencies)

    @property
    def choices(self) -> dict[str, Choice]:
        """Axis → choice over all layers."""
        return {axis: choice for layer in self.layers.values() for axis, choice in layer.items()}

    def keeps(self, budget_ms: float) -> float:
        """Return the probability that the latency is at most `budget_ms`, on each of the devices.

        Devices are measured apart, so their probabilities multiply. Where something slows two devices at once, as it
        may two loopback devices of one machine, both keep the budget more often than the product says.
        """
        return math.prod(certainty.keeps_budget(latency, budget_ms) for latency in self.latencies)

    def as_dict(self) -> dict[str, object]:
        """Return the stack as plain values for JSON, the ends of its intervals under the names of their columns."""
        on_each = {
            name: {"number": on.number, **LATENCY.as_columns(on.latency), EMULATED: on.emulated}
            for name, on in self.on_each.items()
        }
        accuracy = self.accuracy_interval
        ends = ACCURACY.as_columns(accuracy) if accuracy else dict.fromkeys(ACCURACY.columns)
        return {
            "number": self.number,
            "layers": {layer: dict(choices) for layer, choices in self.layers.items()},
            **ends,
            "accuracy": self.accuracy,
            "test_accuracy": self.test_accuracy,
            "test_images": self.test_images,
            **LATENCY.as_columns(self.latency),
            DISTURBED: self.disturbed,
            EMULATED: self.emulated,
            "on_each": on_each,
            "size_bytes": self.size_bytes,
            "placed": self.placed,
            "convolutions": self.convolutions,
        }


@dataclass(frozen=True)
class Best:
    """The answer to: which stack is the most accurate within `budget_ms` on `device`?

    Parameters
    ----------
    stack
        The answer; None where no measured stack fits.
    min_confidence
        Probability with which an answer must keep the budget; None where its median alone must.
    crosses_budget
        Whether the interval of the stack's median latency, on any of its devices, reaches beyond the budget, so that
        it may not fit.
    confidence
        Probability that the stack keeps the budget, see `Stack.keeps`; None where no stack fits.
    next_better
        The fastest stack that is more accurate than `stack`; it lies over the budget, or keeps it with less than
        `min_confidence`.
    nearest
        Where nothing fits: the fastest stack that is accurate enough, or else the most accurate within the budget, or
        else the fastest.
    considered, failed
        Trials on the device that were measured, and that failed.
    """

    device: str
    budget_ms: float
    min_accuracy: float | None
    min_confidence: float | None
    stack: Stack | None
    crosses_budget: bool
    confidence: float | None
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

    def as_dict(self) -> dict[str, object]:
        """Return the answer as plain values for JSON."""
        stacks = {"stack": self.stack, "next_better": self.next_better, "nearest": self.nearest}
        plain = {name: stack and stack.as_dict() for name, stack in stacks.items()}
        return {**vars(self), **plain, "next_costs_ms": self.next_costs_ms}


def best(
    frame: pd.DataFrame,
    device: str,
    latency_ms: float,
    min_accuracy: float | None = None,
    confidence: float | None = None,
) -> Best:
    """Return the most accurate measured stack whose median latency on `device` is at most `latency_ms`.

    On several devices, such as ``"a+b"``, that is the latency on each of them. Accuracy is the validation split's, so
    that the test split stays unseen by every choice. Of equally accurate stacks the fastest wins, then the smallest.

    Parameters
    ----------
    frame
        One row per trial.
    min_accuracy
        Share of validation images below which no stack is an answer.
    confidence
        Probability, above 0 and below 1, with which an answer must keep the budget.

    Raises
    ------
    ExplorerError
        If no trial has run on the device, or `confidence` is not such a probability.
    """
    if confidence is not None and not 0 < confidence < 1:
        raise ExplorerError(f"confidence is a probability above 0 and below 1, not {confidence:g}")
    devices = sorted(frame["device"].unique()) if len(frame) else []
    if device not in devices:
        raise ExplorerError(f"no trial has run on device '{device}'{did_you_mean(device, devices)}")
    on_device = frame[frame["device"] == device]
    measured = _by_accuracy(on_device[on_device["state"] == "complete"])
    # Of a study without a complete trial the frame has no column of results.
    fits = measured[measured["latency_ms"] <= latency_ms] if len(measured) else measured
    if confidence is not None and len(fits):
        fits = fits[[stack_of(row).keeps(latency_ms) >= confidence for _, row in fits.iterrows()]]
    enough = measured[measured["accuracy"] >= (min_accuracy or 0)] if len(measured) else measured
    answers = fits[fits.index.isin(enough.index)]
    stack = stack_of(answers.iloc[0]) if len(answers) else None
    return Best(
        device=device,
        budget_ms=latency_ms,
        min_accuracy=min_accuracy,
        min_confidence=confidence,
        stack=stack,
        crosses_budget=stack is not None and stack.high_ms > latency_ms,
        confidence=stack.keeps(latency_ms) if stack else None,
        next_better=_fastest(measured[measured["accuracy"] > stack.accuracy]) if stack else None,
        nearest=None if stack else _fastest(enough) or _first(fits) or _fastest(measured),
        considered=len(measured),
        failed=int((on_device["state"] == "failed").sum()),
    )


def stack_of(row: pd.Series[Any]) -> Stack:
    """Return a complete trial's row as a `Stack`."""
    plain = {str(name): _plain(value) for name, value in row.items()}
    known = {name: value for name, value in plain.items() if value is not None}

    def whole(name: str) -> int | None:  # a failed trial has none of these, and a column with gaps holds floats
        return int(known[name]) if name in known else None

    return Stack(
        number=int(known["number"]),
        layers={layer: {axis: plain.get(axis) for axis in axes} for layer, axes in LAYERS.items()},
        accuracy=known["accuracy"],
        test_accuracy=known.get("test_accuracy"),
        test_images=whole("test_images"),
        latency=LATENCY.interval(known),
        size_bytes=int(known["size_bytes"]),
        accuracy_interval=ACCURACY.interval(known) if set(ACCURACY.columns) <= set(known) else None,
        placed=whole("convolutions_as_asked"),
        convolutions=whole("convolutions"),
        disturbed=known.get(DISTURBED),
        emulated=bool(known.get(EMULATED)),
        on_each=_on_each(known),
    )


def _on_each(known: Mapping[str, Any]) -> dict[str, OnDevice]:
    """Return what a stack is on each of several devices; nothing for one on a single device."""
    names = [name for name in parts(known["device"]) if on_device("latency_ms", name) in known]
    return {
        name: OnDevice(
            int(known.get(on_device("number", name), known["number"])),
            Quantity("latency_ms", name).interval(known),
            bool(known.get(on_device(EMULATED, name))),
        )
        for name in names
    }


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
