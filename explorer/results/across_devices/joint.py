"""Finished trials on several devices → a row for each stack that serves all of them, as if measured there at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from explorer.core.configuration import parts
from explorer.core.errors import ExplorerError, did_you_mean
from explorer.core.measurement.quantities import on_device
from explorer.core.measurement.sessions import DISTURBED
from explorer.line.trials import several_devices
from explorer.results.across_devices.same_stack import OTHER_AXES, one_each
from explorer.workspace.database.records import Record

if TYPE_CHECKING:
    import pandas as pd


def with_joint(frame: pd.DataFrame, device: str) -> pd.DataFrame:
    """Return the rows that answer for `device`, which may join several that were measured apart, such as ``"a+b"``.

    A study that has ``"a+b"`` as a choice has its rows already, and `frame` comes back as it is; so it does where no
    trial has run on any of the devices. Otherwise the rows are those of the stacks with a trial on every one of the
    devices: of a stack measured on all, what `several_devices.together` makes of its trials, with the slowest one's
    ``number`` and, as ``number on a``, each one's; of another stack, a trial that has no result.

    Raises
    ------
    ExplorerError
        If no trial has run on one of several devices, one is named twice, or no stack was tried on all of them.
    """
    devices, names = sorted(frame["device"].unique()) if len(frame) else [], parts(device)
    if device in devices or not set(names) & set(devices):
        return frame
    for name in names:
        if name not in devices:
            raise ExplorerError(f"no trial has run on device '{name}'{did_you_mean(name, devices)}")
        if names.count(name) > 1:
            raise ExplorerError(f"device {device} names {name} twice")
    rows = _joined(frame, device, names)
    if rows.empty:
        raise ExplorerError(f"no stack was tried on each of {', '.join(names[:-1])} and {names[-1]}")
    return rows


def _joined(frame: pd.DataFrame, device: str, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    there = frame[frame["device"].isin(names)]
    trials = one_each(there, there["state"] == "complete")
    by_stack: dict[int, dict[str, dict[str, Any]]] = {}
    for row in trials.sort_values("stack", kind="stable").to_dict("records"):
        by_stack.setdefault(row["stack"], {})[row["device"]] = _known(row)
    everywhere = (on for on in by_stack.values() if len(on) == len(names))
    return pd.DataFrame([_row(device, {name: on[name] for name in names}) for on in everywhere])


def _known(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the cells of a row that are no gaps."""
    import pandas as pd

    return {str(name): value for name, value in row.items() if isinstance(value, list | dict) or not pd.isna(value)}


def _row(device: str, on_each: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the row of one stack; `on_each` has what is known of it on each device."""
    axes = {axis: next(iter(on_each.values())).get(axis) for axis in OTHER_AXES}
    incomplete = next((own for own in on_each.values() if own["state"] != "complete"), None)
    if incomplete is not None:
        return {**incomplete, **axes, "device": device}
    together = several_devices.together({name: Record(own) for name, own in on_each.items()}).values
    disturbed = [f"on {name}: {own[DISTURBED]}" for name, own in on_each.items() if DISTURBED in own]
    numbers = {on_device("number", name): own["number"] for name, own in on_each.items()}
    return {**together, **axes, "device": device, **numbers, DISTURBED: "; ".join(disturbed) or None}
