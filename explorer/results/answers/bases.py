"""Finished trials and goals → which of them reach the goals, beside the uncompressed networks on record.

A base is never weaker than the record allows: for the accuracy it is the most accurate uncompressed trial of the same
data set, model and width; for the latency the fastest one on the device that also has the same threads and batch,
whatever its algorithm, format and tuning.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.core.configuration import parts
from explorer.core.errors import ExplorerError
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY, Quantity, on_device
from explorer.core.measurement.statistics import Interval, ratio_interval
from explorer.results.answers.goals import Drop, Goals, Row, SpeedUp

if TYPE_CHECKING:
    import pandas as pd

UNCOMPRESSED = "none"  # of the axis compression
NETWORK = ("dataset", "model", "width")  # what a stack shares with the base of its accuracy
RUN = (*NETWORK, "threads", "batch")  # and with that of its latency, the device left out


@dataclass(frozen=True)
class Judged:
    """Which of the measured trials on a device reach the goals.

    Parameters
    ----------
    fast, accurate
        The indices of those that are fast enough, and of those that are accurate enough.
    likely
        Index → the probability that it is fast enough, see `Goals.likely`.
    drops, speed_ups
        Index → what is known of a trial beside its base; empty unless a goal is relative to it.
    without_base
        How many trials a goal leaves out, as no trial of their uncompressed network is on record.
    """

    fast: Set[Hashable]
    accurate: Set[Hashable]
    likely: Mapping[Hashable, float]
    drops: Mapping[Hashable, Drop]
    speed_ups: Mapping[Hashable, tuple[SpeedUp, ...]]
    without_base: int


def judge(measured: pd.DataFrame, goals: Goals, everywhere: pd.DataFrame) -> Judged:
    """Tell which of the `measured` trials, all on one device or on the same joined ones, reach `goals`.

    Parameters
    ----------
    everywhere
        The trials on all devices, among which the uncompressed ones tell the accuracy.

    Raises
    ------
    ExplorerError
        If a goal is relative to a base and no trial has one on record.
    """
    rows = dict(_rows(measured))
    lost = drops(measured, everywhere) if goals.max_drop is not None else {}
    gained = speed_ups(measured) if goals.min_speed_up is not None else {}
    if goals.max_drop is not None and not lost:
        _refuse(rows.values(), NETWORK)
    if goals.min_speed_up is not None and not gained:
        _refuse(rows.values(), RUN)
    left = {
        index: row
        for index, row in rows.items()
        if (goals.max_drop is None or index in lost) and (goals.min_speed_up is None or index in gained)
    }
    likely = {
        index: goals.likely([latency for *_, latency in _latencies(row)], gained.get(index, ()))
        for index, row in left.items()
    }
    enough = goals.min_confidence or 0
    fast = {i for i, row in left.items() if goals.is_fast(row, gained.get(i, ())) and likely[i] >= enough}
    accurate = {i for i, row in left.items() if goals.is_accurate(row, lost.get(i))}
    return Judged(fast, accurate, likely, lost, gained, len(rows) - len(left))


def drops(measured: pd.DataFrame, frame: pd.DataFrame) -> dict[Hashable, Drop]:
    """Return index → how far below the uncompressed network each of the `measured` trials lies, where that is known.

    Parameters
    ----------
    frame
        One row per trial, on whatever device: an accuracy is the same on each.
    """
    metric = Metric.of_frame(frame)
    bases: dict[tuple[object, ...], tuple[int, float]] = {}
    for _, row in _uncompressed(frame):
        network, reached = _of(row, NETWORK), row[metric.name]
        if network not in bases or metric.gain(reached, bases[network][1]) > 0:
            bases[network] = int(row["number"]), reached
    return {
        index: Drop(*bases[network], metric.gain(bases[network][1], row[metric.name]))
        for index, row in _rows(measured)
        if (network := _of(row, NETWORK)) in bases
    }


def speed_ups(measured: pd.DataFrame) -> dict[Hashable, tuple[SpeedUp, ...]]:
    """Return index → how many times as fast as the uncompressed network each trial is, where that is known.

    Parameters
    ----------
    measured
        Complete trials on one device, or on several joined ones: a speed-up is one on each then.
    """
    bases: dict[tuple[object, ...], tuple[int, Interval]] = {}
    for _, row in _uncompressed(measured):
        for device, number, latency in _latencies(row):
            run = (device, *_of(row, RUN))
            if run not in bases or latency.value < bases[run][1].value:
                bases[run] = number, latency
    found = {}
    for index, row in _rows(measured):
        on_each = [(each, bases.get((each[0], *_of(row, RUN)))) for each in _latencies(row)]
        if all(base for _, base in on_each):
            found[index] = tuple(_speed_up(*each, *base) for each, base in on_each if base)
    return found


def _speed_up(device: str, number: int, latency: Interval, base: int, base_latency: Interval) -> SpeedUp:
    same = Interval(1.0, 1.0, 1.0)  # a trial beside itself, whose two latencies are one measurement
    return SpeedUp(device, base, base_latency, same if number == base else ratio_interval(base_latency, latency))


def _latencies(row: Row) -> list[tuple[str, int, Interval]]:
    """Return name, number of the trial and latency on each of the devices of a row."""
    devices = [name for name in parts(row["device"]) if row.get(on_device(LATENCY.name, name)) is not None]
    if not devices:
        return [(row["device"], int(row["number"]), LATENCY.interval(row))]
    apart = [row.get(on_device("number", name)) for name in devices]  # None where it was measured on all at once
    numbers = [int(row["number"]) if number is None else int(number) for number in apart]
    latencies = [Quantity(LATENCY.name, name).interval(row) for name in devices]
    return list(zip(devices, numbers, latencies, strict=True))


def _uncompressed(frame: pd.DataFrame) -> list[tuple[Hashable, Row]]:
    """Return index and row of each measured trial of an uncompressed network."""
    metric = Metric.of_frame(frame)
    if metric.name not in frame:  # no trial is complete yet
        return []
    measured = frame[metric.name].notna() & frame[str(LATENCY)].notna()
    return _rows(frame[(frame["state"] == "complete") & (frame["compression"] == UNCOMPRESSED) & measured])


def _rows(frame: pd.DataFrame) -> list[tuple[Hashable, Row]]:
    """Return index and row of each trial, a gap as None."""
    import pandas as pd

    plain = frame.astype(object).where(frame.notna(), None)
    rows = [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
    return list(zip(pd.Index(frame.index), rows, strict=True))


def _of(row: Row, axes: Sequence[str]) -> tuple[object, ...]:
    return tuple(row[axis] for axis in axes)


def _refuse(rows: Collection[Row], axes: Sequence[str]) -> None:
    """Raise an error unless `rows` is empty: none of them has a base with which it shares `axes`."""
    stacks = list(dict.fromkeys(_of(row, axes) for row in rows))
    if not stacks:
        return
    first = ", ".join(
        f"{axis} {value:g}" if isinstance(value, float) else f"{axis} {value}"
        for axis, value in zip(axes, stacks[0], strict=True)
    )
    others = f" or any of {len(stacks) - 1} others" if len(stacks) > 1 else ""
    raise ExplorerError(
        f"no uncompressed trial of {first}{others} is on record to compare with; search a space whose axis compression "
        f"has '{UNCOMPRESSED}'"
    )
