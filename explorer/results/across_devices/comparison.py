"""Finished trials on several devices → what each device's best stacks cost on the others, and which choices change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.core.errors import ExplorerError
from explorer.core.measurement.metric import ACCURACY, Metric
from explorer.core.measurement.quantities import LATENCY
from explorer.core.measurement.sessions import DISTURBED, EMULATED
from explorer.core.measurement.statistics import Interval, ratio_interval
from explorer.fronts.pareto import violations
from explorer.results import export
from explorer.results.across_devices.same_stack import OTHER_AXES, one_each
from explorer.results.answers.best_stack import Choice, stack_of
from explorer.results.emulated import emulated_devices
from explorer.space.limits import Limit

if TYPE_CHECKING:
    import pandas as pd

STANDING = (
    *LATENCY.columns, DISTURBED, EMULATED, "standing", "front_probability", "factor", "factor_low", "factor_high",
    "fastest",
)  # fmt: skip
Row = Mapping[str, Any]  # column → value
ON, TIED, OFF, BEYOND = "on it", "tied", "off it", "beyond a limit"  # how a stack stands to the front of a device


@dataclass(frozen=True)
class Chosen:
    """The choices of one device's best stacks on one axis.

    Parameters
    ----------
    on_front
        Those of the stacks on the device's front → how many of these stacks have it.
    not_measured
        Those on another device's front that no measured stack on this device has, so that nothing is known of them.
    """

    on_front: Mapping[Choice, int]
    not_measured: tuple[Choice, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the choices as plain values for JSON."""
        counts = [{"choice": choice, "stacks": stacks} for choice, stacks in self.on_front.items()]
        return {"on_front": counts, "not_measured": list(self.not_measured)}


@dataclass(frozen=True)
class Comparison:
    """The stacks on the fronts of several devices, and what each of them costs on every device.

    Parameters
    ----------
    devices
        All of the study's; one such as ``"a+b"`` is a device of its own.
    fronts
        The devices whose fronts are compared.
    emulated
        Those of `devices` that are emulated.
    rows
        One row for each front, stack on it and device; those of a stack follow each other, the front's device first.

        - ``front_of``, and ``stack``, a number that is equal for the same stack
        - every axis but the device, and ``device``
        - ``number`` and ``state`` of the stack's trial on `device`; both are gaps where there is none
        - ``accuracy`` or the study's metric, ``latency_ms``, ``latency_low_ms``, ``latency_high_ms``,
          ``latency_disturbed``, ``latency_emulated``
        - ``standing``: `ON`, `TIED`, `OFF` or `BEYOND`; ``front_probability`` for the first two
        - ``factor``: the latency over that of the fastest stack on `device` that is at least as accurate, takes as
          many images at once and keeps the limits; the stack itself counts as one. At least 1.
        - ``factor_low``, ``factor_high``: its 95 % interval
        - ``fastest``: the number of that fastest stack's trial
    choices
        Axis → device → `Chosen`, of the axes on which one front has a choice that another one has not; devices without
        a front are left out.
    metric
        What the study's networks are judged by.
    """

    devices: tuple[str, ...]
    fronts: tuple[str, ...]
    emulated: tuple[str, ...]
    rows: pd.DataFrame
    choices: Mapping[str, Mapping[str, Chosen]]
    metric: Metric = ACCURACY

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as plain values for JSON."""
        choices = {
            axis: {device: chosen.as_dict() for device, chosen in on.items()} for axis, on in self.choices.items()
        }
        devices = {"devices": list(self.devices), "emulated": list(self.emulated)}
        return {**devices, "stacks": export.rows(self.rows), "choices": choices}


def compare(
    frame: pd.DataFrame, fronts: pd.DataFrame, limits: Sequence[Limit] = (), device: str | None = None
) -> Comparison:
    """Return what the stacks on the front of `device`, or of each device, cost on the others.

    Parameters
    ----------
    frame
        One row per trial.
    fronts
        The fronts and their ties, as `certainty.front_with_ties` returns them.
    limits
        Bounds on the stacks that others are compared with.

    Raises
    ------
    ExplorerError
        If the trials have run on fewer than two devices.
    """
    devices = sorted(frame["device"].unique())
    if len(devices) < 2:
        raise ExplorerError(
            f"all trials have run on {devices[0]}; a comparison needs a study whose axis device has several choices"
        )
    best = fronts[~fronts["tied"]] if len(fronts) else fronts
    homes = devices if device is None else [device]
    trials = one_each(frame, frame.index.to_series().isin(best.index))
    on_each = {name: _Device.of(rows, fronts, limits) for name, rows in trials.groupby("device")}
    metric = Metric.of_frame(frame)
    rows = [
        {
            "front_of": home,
            "stack": stack,
            **_axes(trials.loc[index]),
            "device": there,
            **on_each[there].costs(stack, metric),
        }
        for home in homes
        for index, stack in _stacks(trials, best[best["device"] == home] if len(best) else best)
        for there in (home, *(other for other in devices if other != home))
    ]
    emulated = tuple(sorted(emulated_devices(frame).intersection(devices)))
    return Comparison(tuple(devices), tuple(homes), emulated, _framed(rows, metric), _choices(frame, best), metric)


def _stacks(trials: pd.DataFrame, front: pd.DataFrame) -> list[tuple[Any, int]]:
    """Return index and number of each stack on a front, in its order."""
    there = trials.loc[[index for index in front.index if index in trials.index], "stack"]
    return list(there.items())


def _axes(row: pd.Series[Any]) -> dict[str, Choice]:
    choices = stack_of(row).choices
    return {axis: choices[axis] for axis in OTHER_AXES}


def _framed(rows: Sequence[Mapping[str, object]], metric: Metric) -> pd.DataFrame:
    """Return the rows as a frame, its whole numbers whole where other rows have gaps."""
    import pandas as pd

    columns = ["front_of", "stack", *OTHER_AXES, "device", "number", "state", metric.name, *STANDING]
    found = pd.DataFrame(rows, columns=columns)
    return found.astype({"number": "Int64", "fastest": "Int64"})


@dataclass(frozen=True)
class _Device:
    """One device's trials, one a stack.

    Parameters
    ----------
    trials
        Number of the stack → column → value.
    rivals
        Trials that are measured and keep the limits, the fastest first.
    fronts
        Number of each trial on the front of the device, or tied with it → column → value.
    """

    trials: Mapping[int, Row]
    rivals: pd.DataFrame
    fronts: Mapping[int, Row]

    @staticmethod
    def of(trials: pd.DataFrame, fronts: pd.DataFrame, limits: Sequence[Limit]) -> _Device:
        measured = trials[trials["state"] == "complete"]
        if len(measured):
            measured = measured[violations(measured, limits) == 0].sort_values(str(LATENCY), kind="stable")
        by_stack = {row["stack"]: row for row in _rows(trials)}
        return _Device(by_stack, measured, {row["number"]: row for row in _rows(fronts)})

    def costs(self, stack: int, metric: Metric) -> dict[str, object]:
        """Return what is on record of `stack` here, how it stands to the front, and its factor; all where it ran."""
        row = self.trials.get(stack)
        if row is None:
            return {}
        if row["state"] != "complete":
            return {"number": row["number"], "state": row["state"]}
        known = {name: row.get(name) for name in ("number", "state", metric.name, DISTURBED, EMULATED)}
        latency = LATENCY.as_columns(LATENCY.interval(row))
        return {**known, **latency, **self._standing(row), **self._factor(row, metric)}

    def _standing(self, row: Row) -> dict[str, object]:
        found = self.fronts.get(row["number"])
        if found is None:
            return {"standing": OFF if row["stack"] in self.rivals["stack"].array else BEYOND}
        return {"standing": TIED if found["tied"] else ON, "front_probability": found["front_probability"]}

    def _factor(self, row: Row, metric: Metric) -> dict[str, object]:
        rivals = self.rivals
        better = metric.sign * (rivals[metric.name] - row[metric.name]) >= 0
        as_good = rivals[better & (rivals["batch"] == row["batch"])]
        fastest = next(iter(_rows(as_good[:1])), row)
        factor = Interval(1.0, 1.0, 1.0)
        if row[str(LATENCY)] <= fastest[str(LATENCY)]:
            fastest = row
        else:
            factor = ratio_interval(LATENCY.interval(row), LATENCY.interval(fastest))
        return {
            "factor": factor.value, "factor_low": factor.low, "factor_high": factor.high, "fastest": fastest["number"],
        }  # fmt: skip


def _rows(frame: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _choices(frame: pd.DataFrame, best: pd.DataFrame) -> dict[str, dict[str, Chosen]]:
    """Return the choices of the stacks on the front of each device, on the axes where they differ."""
    if best.empty:
        return {}
    measured = frame[frame["state"] == "complete"]
    fronts = {
        str(device): [stack_of(row).choices for _, row in rows.iterrows()] for device, rows in best.groupby("device")
    }
    found = {}
    for axis in OTHER_AXES:
        counts = {device: Counter(each[axis] for each in stacks) for device, stacks in fronts.items()}
        on = {device: count.keys() - {None} for device, count in counts.items()}
        if len(set(map(frozenset, on.values()))) < 2:
            continue
        every = set[Choice]().union(*on.values())
        found[axis] = {
            device: Chosen(
                {each: counts[device][each] for each in _ordered(chosen)},
                _ordered(every - _known(measured, device, axis)),
            )
            for device, chosen in on.items()
        }
    return found


def _known(measured: pd.DataFrame, device: str, axis: str) -> set[Choice]:
    return set(measured.loc[measured["device"] == device, axis].dropna())


def _ordered(choices: set[Choice]) -> tuple[Choice, ...]:
    """Return choices sorted, numbers before names."""
    return tuple(sorted(choices, key=lambda each: (isinstance(each, str), each)))
