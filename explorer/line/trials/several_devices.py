"""Records of a stack on several devices → one record, by the device that is worst in each quantity."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from explorer.core.configuration import Configuration
from explorer.core.errors import StageFailed
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import HIGHER_IS_BETTER, LATENCY, MEASURED, Quantity, on_device, quantities
from explorer.core.measurement.sessions import DISTURBED, EMULATED, Estimate
from explorer.workspace.database.records import Record


@contextlib.contextmanager
def naming(device: str, c: Configuration) -> Iterator[None]:
    """Make a failure of a stack that is judged on several devices name this one."""
    try:
        yield
    except StageFailed as failed:
        if device == c.device:
            raise
        message = f"on {device}: {failed.failure.message}"
        raise StageFailed(replace(failed.failure, message=message)) from failed


def measure_keys(c: Configuration, record: Record) -> dict[str, str]:
    """Return device → the key of the measurements there, of a stack that has them on record."""
    columns = {
        device: "measure_key" if len(c.devices) == 1 else on_device("measure_key", device) for device in c.devices
    }
    return {device: record.values[column] for device, column in columns.items() if column in record.values}


def revised(c: Configuration, record: Record, latencies: Mapping[tuple[str, str], Estimate]) -> Record:
    """Return the record of a stack with the latencies that are known now, by key and device."""
    keys = measure_keys(c, record)
    known = {device: latencies[key, device] for device, key in keys.items() if (key, device) in latencies}
    if len(known) < len(c.devices):
        return record
    values = {name: value for name, value in record.values.items() if name not in (DISTURBED, EMULATED)}
    measured = {device: found.as_columns(c.batch) for device, found in known.items()}
    slowest = max(known, key=lambda device: known[device].interval.value)
    values |= {"measure_key": keys[slowest], **measured[slowest]}
    if len(known) > 1:
        values |= _worst(measured, MEASURED) | _each(measured, MEASURED) | _emulated(measured)
    return Record(values)


def together(records: Mapping[str, Record]) -> Record:
    """Return what a stack reaches on the device that is worst in each quantity, and beside it what on every device.

    Of quantities that are not measured, and of the artifacts, the slowest device's are on record. Before a network is
    trained, nothing is known of its accuracy.
    """
    values = {device: record.values for device, record in records.items()}
    slowest = max(values.values(), key=lambda own: own[str(LATENCY)])
    metric = Metric.of(slowest)
    names = quantities(metric.name, each_device=True)
    keys = {
        on_device(column, device): own[column]
        for device, own in values.items()
        for column in ("build_key", "measure_key")
        if column in own
    }
    return Record({**slowest, **_worst(values, names, metric), **_each(values, names), **keys, **_emulated(values)})


Values = Mapping[str, Mapping[str, Any]]  # device → column → value


def _worst(values: Values, names: Iterable[str], metric: Metric | None = None) -> dict[str, Any]:
    """Return the columns of each quantity, of those that are known, by the device that is worst in it."""
    found: dict[str, Any] = {}
    for name in names:
        if all(name in own for own in values.values()):
            higher = metric.maximised if metric and name == metric.name else name in HIGHER_IS_BETTER
            choose: Callable[..., Mapping[str, Any]] = min if higher else max
            worst = choose(values.values(), key=lambda own, name=name: own[name])
            found |= {column: worst[column] for column in Quantity(name).columns if column in worst}
    return found


def _emulated(values: Values) -> dict[str, Any]:
    """Return the columns that mark a stack with an emulated device, and name the device; none if none is emulated."""
    marks = {on_device(EMULATED, device): True for device, own in values.items() if EMULATED in own}
    return {EMULATED: True, **marks} if marks else {}


def _each(values: Values, names: Iterable[str]) -> dict[str, Any]:
    """Return the columns that have of each device what is known of these quantities there."""
    columns = [column for name in names for column in Quantity(name).columns]
    return {
        on_device(column, device): own[column] for device, own in values.items() for column in columns if column in own
    }
