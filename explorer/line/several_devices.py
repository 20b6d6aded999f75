"""Records of a stack on several devices → one record, by the device that is worst in each quantity."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from explorer.core.configuration import Configuration
from explorer.core.errors import StageFailed
from explorer.core.quantities import ACCURACY, LATENCY, PER_DEVICE, SIZE, Quantity, on_device
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
