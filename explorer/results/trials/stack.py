"""A finished trial's row → the stack that it measured, with what it reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.core.configuration import LAYERS, parts
from explorer.core.measurement.metric import ACCURACY, Metric
from explorer.core.measurement.quantities import LATENCY, Quantity, on_device
from explorer.core.measurement.sessions import DISTURBED, EMULATED
from explorer.core.measurement.statistics import Interval
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
        Shares of the validation images, which the search saw, and of the test images, which it did not; of a study with
        another metric, that.
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
    metric
        What the network is judged by.
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
    metric: Metric = ACCURACY

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
        interval, quantity = self.accuracy_interval, self.metric.quantity
        ends = quantity.as_columns(interval) if interval else dict.fromkeys(quantity.columns)
        return {
            "number": self.number,
            "layers": {layer: dict(choices) for layer, choices in self.layers.items()},
            **self.metric.columns,
            **ends,
            self.metric.name: self.accuracy,
            self.metric.test: self.test_accuracy,
            "test_images": self.test_images,
            **LATENCY.as_columns(self.latency),
            DISTURBED: self.disturbed,
            EMULATED: self.emulated,
            "on_each": on_each,
            "size_bytes": self.size_bytes,
            "placed": self.placed,
            "convolutions": self.convolutions,
        }


def stack_of(row: pd.Series[Any]) -> Stack:
    """Return a complete trial's row as a `Stack`."""
    plain = {str(name): _plain(value) for name, value in row.items()}
    known = {name: value for name, value in plain.items() if value is not None}
    metric = Metric.of(known)

    def whole(name: str) -> int | None:  # a failed trial has none of these, and a column with gaps holds floats
        return int(known[name]) if name in known else None

    return Stack(
        number=int(known["number"]),
        layers={layer: {axis: plain.get(axis) for axis in axes} for layer, axes in LAYERS.items()},
        accuracy=known[metric.name],
        test_accuracy=known.get(metric.test),
        test_images=whole("test_images"),
        latency=LATENCY.interval(known),
        size_bytes=int(known["size_bytes"]),
        accuracy_interval=metric.quantity.interval(known) if set(metric.quantity.columns) <= set(known) else None,
        placed=whole("convolutions_as_asked"),
        convolutions=whole("convolutions"),
        disturbed=known.get(DISTURBED),
        emulated=bool(known.get(EMULATED)),
        on_each=_on_each(known),
        metric=metric,
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


def _plain(value: Any) -> Any:
    """Return a cell as a plain value: NumPy scalars unwrapped, None for a gap."""
    import pandas as pd

    if value is None or (not isinstance(value, list | dict) and pd.isna(value)):
        return None
    return value.item() if hasattr(value, "item") else value
