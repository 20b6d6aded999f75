"""Quantities that a trial has on record ↔ their columns: the value and, of a measured one, its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.core.measurement.statistics import Interval

# Those that sessions on a device measure beside the median latency, one value a session.
BESIDE = ("latency_p90_ms", "latency_p99_ms", "first_ms", "load_ms")
# Those that differ from session to session; a stack on one device has them of one measurement.
MEASURED = ("latency_ms", *BESIDE, "images_per_second")
# Those that a stack on several devices has on record for each.
PER_DEVICE = ("accuracy", *MEASURED, "size_bytes", "peak_memory_bytes")
QUANTITIES = (*PER_DEVICE, "macs", "parameters")
HIGHER_IS_BETTER = ("accuracy", "images_per_second")  # of those above; a metric of the user's own says itself
# Quantity → the columns of the ends of its 95 % interval; the others are exact.
_ENDS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("accuracy_low", "accuracy_high"),
    "images_per_second": ("images_per_second_low", "images_per_second_high"),
    **{name: (name[:-3] + "_low_ms", name[:-3] + "_high_ms") for name in ("latency_ms", *BESIDE)},
}
_ON = " on "  # between a column's name and the device


@dataclass(frozen=True)
class Quantity:
    """A quantity of a stack, on one device of several or as such.

    Its text is the name of its column, such as ``"latency_ms on rpi4"``; `parse` reads it.

    Parameters
    ----------
    name
        Such as ``"latency_ms"``; the unit is part of it.
    device
        The device of a stack on several; None for what the stack reaches on the worst of them, or on its only one.
    """

    name: str
    device: str | None = None

    @staticmethod
    def parse(column: str) -> Quantity:
        """Return the quantity whose values are in `column`; whether there is such a quantity is not checked."""
        name, on, device = column.partition(_ON)
        return Quantity(name, device if on else None)

    def __str__(self) -> str:
        return on_device(self.name, self.device)

    @property
    def is_measured(self) -> bool:
        """Whether sessions on a device measure it, so that the next one finds another value."""
        return self.name in MEASURED

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its value and of the ends of its interval; of an exact quantity that of its value alone."""
        # A quantity that is none of these is a metric of the user's own, which is of a sample of images.
        sampled = () if self.name in QUANTITIES else (f"{self.name}_low", f"{self.name}_high")
        return tuple(on_device(name, self.device) for name in (self.name, *_ENDS.get(self.name, sampled)))

    def interval(self, values: Mapping[str, Any]) -> Interval:
        """Return the value and its 95 % interval; both ends are the value where no interval is on record.

        Parameters
        ----------
        values
            Column → value, of one trial.

        Raises
        ------
        KeyError
            If the value itself is not on record.
        """
        column, *ends = self.columns
        value = values[column]
        low, high = (values.get(end, value) for end in ends or (column, column))
        return Interval(value, low, high)

    def as_columns(self, interval: Interval) -> dict[str, float]:
        """Return column → value; `interval` finds the same again in it."""
        return dict(zip(self.columns, interval, strict=False))


def on_device(column: str, device: str | None) -> str:
    """Return the column that has of one `device` what `column` has of the whole stack; `column` itself for None."""
    return column if device is None else f"{column}{_ON}{device}"


def quantities(metric: str, each_device: bool = False) -> tuple[str, ...]:
    """Return the quantities of a study whose networks are judged by `metric`, which stands in place of the accuracy.

    Parameters
    ----------
    each_device
        Whether those alone are asked for that a stack on several devices has on record for each.
    """
    return tuple(metric if name == ACCURACY.name else name for name in (PER_DEVICE if each_device else QUANTITIES))


ACCURACY = Quantity("accuracy")
LATENCY = Quantity("latency_ms")
SIZE = Quantity("size_bytes")
THROUGHPUT = Quantity("images_per_second")
MEMORY = Quantity("peak_memory_bytes")
