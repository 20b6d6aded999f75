"""Records of a stack on several devices → one record, by the device that is worst in each quantity."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from explorer.core.configuration import Configuration
from explorer.core.errors import StageFailed
from explorer.core.quantities import ACCURACY, LATENCY, PER_DEVICE, SIZE, Quantity, on_device
from explorer.core.sessions import DISTURBED, Estimate
from explorer.workspace.records import Record


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
    values = {name: value for name, value in record.values.items() if name != DISTURBED}
    if len(known) > 1:
        for device, found in known.items():
            values |= Quantity(LATENCY.name, device).as_columns(found.interval)
    slowest = max(known, key=lambda device: known[device].interval.value)
    values |= {"measure_key": keys[slowest]} | known[slowest].as_columns()
    return Record(values)


def together(records: Mapping[str, Record]) -> Record:
    """Return what a stack reaches on the device that is worst in each quantity, and beside it what on every device.

    Of quantities that are not measured, and of the artifacts, the slowest device's are on record. Before a network is
    trained, nothing is known of its accuracy.
    """

    def worst(quantity: Quantity, choose: Callable[..., Record]) -> dict[str, Any]:
        chosen = choose(records.values(), key=lambda record: record.values[str(quantity)])
        return {column: chosen.values[column] for column in quantity.columns}

    slowest = max(records.values(), key=lambda record: record.values[str(LATENCY)])
    measured = [column for name in PER_DEVICE for column in Quantity(name).columns]
    each = {
        on_device(column, device): record.values[column]
        for device, record in records.items()
        for column in (*measured, "build_key", "measure_key")
        if column in record.values
    }
    accuracy = worst(ACCURACY, min) if str(ACCURACY) in slowest.values else {}
    return Record({**slowest.values, **accuracy, **worst(SIZE, max), **each})
