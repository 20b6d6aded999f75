"""Profiles of a stack and of another one → layer by layer what was expected of the difference, and what came."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

from explorer.core.measurement.statistics import Interval, ratio_interval
from explorer.profiles.profile import Profile, Row

# Time expected from a dtype, as a share of float32's: it has that many fewer bytes.
WIDTHS = {"float32": 1.0, "float16": 0.5, "bfloat16": 0.5, "int8": 0.25}


@dataclass(frozen=True)
class Pair:
    """A layer in both networks.

    Parameters
    ----------
    base, own
        What it takes in the network that is compared with, and in the other one.
    expected
        The share of `base`'s time expected from its work: multiply-accumulates, without those of zeros, and the width
        of its numbers.
    achieved
        The share that it takes, with its 95 % interval.
    is_narrowed
        Whether its numbers are as narrow as the narrowest of its network.
    """

    base: Row
    own: Row
    expected: float
    achieved: Interval
    is_narrowed: bool = True

    @property
    def bytes_ratio(self) -> float:
        """Bytes of weights that the program reads, as a share of `base`'s."""
        return self.own.weight_bytes / self.base.weight_bytes if self.base.weight_bytes else 1.0

    @property
    def excess_us(self) -> float:
        """Time in excess of what is expected from its work."""
        return self.own.us.value - self.expected * self.base.us.value

    @property
    def is_slower_than_expected(self) -> bool:
        """Whether all of the interval lies above what is expected from its work."""
        return self.achieved.low > self.expected


class Without(NamedTuple):
    """The programs without multiplications, such as pooling and conversions, and what is not in any: microseconds."""

    base_us: float
    own_us: float


@dataclass(frozen=True)
class Versus:
    """A network held against another one on the same device.

    Parameters
    ----------
    pairs
        The layers that both have, in the order of the own network.
    expected
        The share of the base's time expected from the work of all layers.
    bytes_ratio
        Bytes of weights that the network reads, as a share of the base's.
    achieved
        The share of the base's time that it takes, with its 95 % interval.
    without
        What is not in the pairs.
    """

    base: Profile
    own: Profile
    pairs: tuple[Pair, ...]
    expected: float
    bytes_ratio: float
    achieved: Interval
    without: Without

    @property
    def gap_us(self) -> float:
        """Time in excess of what is expected from the work of all layers."""
        return 1e3 * (self.own.network_ms.value - self.expected * self.base.network_ms.value)

    @property
    def is_slower_than_expected(self) -> bool:
        """Whether all of the interval lies above what is expected from the work."""
        return self.achieved.low > self.expected

    @property
    def elsewhere_us(self) -> float:
        """The part of the excess that stems from time that was never where the work fell.

        Of each layer it is the time that it had, times what its work fell less than the network's.
        """
        return sum(pair.base.us.value * (pair.expected - self.expected) for pair in self.pairs)

    @property
    def not_shrunk_us(self) -> float:
        """The part of the excess that stems from what has no multiplications, and so none that could be removed."""
        return self.without.own_us - self.expected * self.without.base_us


def versus(own: Profile, base: Profile) -> Versus:
    """Match the layers of two profiles by their names; see `Versus`."""
    layers = {row.name: row for row in base.rows if row.macs}
    narrow = _width(own) / _width(base)  # also of a layer that is not narrowed: that it should be is expected
    pairs = [
        Pair(
            before,
            row,
            expected=narrow * _work(row) / _work(before),
            achieved=ratio_interval(row.us, before.us),
            is_narrowed=WIDTHS.get(row.dtype, 1.0) == _width(own),
        )
        for row in own.rows
        if row.macs and (before := layers.get(row.name)) and _work(before)
    ]
    matched = {pair.own.name for pair in pairs}
    return Versus(
        base=base,
        own=own,
        pairs=tuple(pairs),
        expected=narrow * sum(map(_work, own.rows)) / (sum(map(_work, base.rows)) or 1.0),
        bytes_ratio=_weight_bytes(own) / (_weight_bytes(base) or 1),
        achieved=ratio_interval(own.network_ms, base.network_ms),
        without=Without(*(_outside(profile, matched) for profile in (base, own))),
    )


def _work(row: Row) -> float:
    """Return the multiply-accumulates of a row without those of zeros."""
    return row.macs * (row.nonzeros / row.weights if row.weights else 1.0)


def _width(profile: Profile) -> float:
    """Return the width of a network's narrowest numbers, as a share of float32's."""
    return min((WIDTHS.get(row.dtype, 1.0) for row in profile.rows if row.macs), default=1.0)


def _weight_bytes(profile: Profile) -> int:
    return sum(row.weight_bytes for row in profile.rows)


def _outside(profile: Profile, matched: Set[str]) -> float:
    """Return the microseconds of a network that are not in the layers of these names."""
    return 1e3 * profile.network_ms.value - sum(row.us.value for row in profile.rows if row.name in matched)
