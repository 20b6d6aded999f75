"""Quantities that a trial has on record ↔ their columns: the value and, of a measured one, its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.core.statistics import Interval

QUANTITIES = ("accuracy", "latency_ms", "size_bytes", "macs", "parameters")
PER_DEVICE = ("accuracy", "latency_ms", "size_bytes")  # those that a stack on several devices has on record for each
# Quantity → the columns of the ends of its 95 % interval; the others are exact.
_ENDS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("accuracy_low", "accuracy_high"),
    "latency_ms": ("latency_low_ms", "latency_high_ms"),
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
    def columns(self) -> tuple[str, ...]:
        """The columns of its value and of the ends of its interval; of an exact quantity that of its value alone."""
        return tuple(on_device(name, self.device) for name in (self.name, *_ENDS.get(self.name, ())))

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


ACCURACY = Quantity("accuracy")
LATENCY = Quantity("latency_ms")
SIZE = Quantity("size_bytes")
