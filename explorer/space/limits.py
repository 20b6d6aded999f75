"""``limits`` of a search-space file → bounds on measured quantities, and by how much a trial breaks them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationInfo

from explorer.core.configuration import parts
from explorer.core.errors import did_you_mean
from explorer.core.measurement.quantities import PER_DEVICE, QUANTITIES, Quantity
from explorer.space.axes import Axis
from explorer.space.toml.toml_file import TomlFile

ALIKE = tuple(name for name in QUANTITIES if name not in PER_DEVICE)  # on all devices of a stack
BOUNDED = "quantities"  # in a validation's context: those that limits may bound
LEAST, MOST = 1e-12, 1e15  # of a bound: shares of it are added up
COMPARISONS = ("<=", ">=")
_LIMIT = re.compile(r"\s*([^\s<>=!]+)\s*([<>=!]+)\s*(.*?)(?:\s+on\s+(.+?))?\s*")
_FORM = "QUANTITY <= NUMBER or QUANTITY >= NUMBER, or either with ' on DEVICE' behind it"


@dataclass(frozen=True)
class Limit:
    """A bound on a measured quantity, inclusive.

    Parameters
    ----------
    quantity
        One of `QUANTITIES` or the study's metric, in the unit that it has on record.
    comparison
        ``"<="`` or ``">="``.
    number
        The bound; above 0, because violations are shares of it.
    device
        The device whose trials are held to it; None for the trials on all devices. For a stack on several devices, its
        value on this device counts or, where the limit is for all devices, its value on the worst of them.
    """

    quantity: str
    comparison: str
    number: float
    device: str | None = None

    @staticmethod
    def parse(text: str, known: Sequence[str] = QUANTITIES) -> Limit:
        """Return the limit that `text` says, such as ``"latency_ms <= 5 on rpi4"``.

        Parameters
        ----------
        known
            The quantities that may be bounded.

        Raises
        ------
        ValueError
            With a sentence on what is wrong with `text`; that the device is one of the space's is not checked.
        """
        if not (parts := _LIMIT.fullmatch(text)):
            raise ValueError(f"limit {text!r} is not {_FORM}")
        quantity, comparison, number, device = parts.groups()
        if quantity not in known:
            raise ValueError(f"unknown quantity '{quantity}' in limit {text!r}{did_you_mean(quantity, known)}")
        if comparison not in COMPARISONS:
            raise ValueError(f"unknown comparison '{comparison}' in limit {text!r}; allowed: {', '.join(COMPARISONS)}")
        limit = Limit(quantity, comparison, _number(number, text), device)
        if quantity == "accuracy" and limit.number > 1:
            raise ValueError(f"accuracy in limit {text!r} is a share of the images, at most 1")
        return limit

    @staticmethod
    def from_text(text: object, info: ValidationInfo) -> Limit:
        """Return the limit that an item of the list ``limits`` says; the context may have the quantities it may bound.

        Raises
        ------
        ValueError
            Likewise, and if the item is no text.
        """
        if not isinstance(text, str):
            raise ValueError(f"limits lists texts such as 'latency_ms <= 5', not {text!r}")
        return Limit.parse(text, (info.context or {}).get(BOUNDED, QUANTITIES))

    def __str__(self) -> str:
        where = f" on {self.device}" if self.device else ""
        return f"{self.quantity} {self.comparison} {self.number:.15g}{where}"

    def violation(self, device: str, values: Mapping[str, Any]) -> float:
        """Return by which share of the bound a trial on `device` lies beyond it; 0 where it is kept.

        It is a share so that violations of limits in different units add up.

        Parameters
        ----------
        values
            Column → value, as they are on record of the trial.
        """
        quantity = self.bounded(device)
        if quantity is None:
            return 0.0
        value = float(values[str(quantity)])
        above = (value - self.number) / self.number
        return max(0.0, above if self.comparison == "<=" else -above)

    def bounded(self, device: str) -> Quantity | None:
        """Return the quantity that it bounds of the stacks on `device`; None where it is for another device."""
        if self.device is None or self.device == device:
            return Quantity(self.quantity)
        if self.device not in parts(device):
            return None
        return Quantity(self.quantity, None if self.quantity in ALIKE else self.device)


def violation(limits: Iterable[Limit], device: str, values: Mapping[str, Any]) -> float:
    """Return by how much a trial on `device` with `values` on record breaks `limits`, in all."""
    return sum((limit.violation(device, values) for limit in limits), 0.0)


def check_limits(file: TomlFile, limits: Sequence[Limit], devices: Axis) -> None:
    """Refuse limits in ``[search]`` of the file on a device that no stack has, and one bound given twice.

    Parameters
    ----------
    devices
        The axis ``device``.
    """
    known = tuple(dict.fromkeys(name for choice in devices.choices for name in (str(choice), *parts(str(choice)))))
    found: dict[tuple[str, str, str | None], Limit] = {}
    for index, limit in enumerate(limits):
        at = ("search", "limits", index)
        if limit.device is not None and limit.device not in known:
            text = file.content["search"]["limits"][index]
            hint = did_you_mean(limit.device, known)
            raise file.error(f"unknown device '{limit.device}' in limit {text!r}{hint}", *at)
        first = found.setdefault((limit.quantity, limit.comparison, limit.device), limit)
        if first is not limit:
            raise file.error(f"limits '{first}' and '{limit}' are the same bound twice", *at)


def _number(text: str, limit: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"'{text}' in limit {limit!r} is no number") from None
    if not LEAST <= number <= MOST:
        raise ValueError(f"limit {limit!r} needs a number from {LEAST:g} to {MOST:g}, not {text}")
    return number
