"""Records of a stack on several devices → one record, by the device that is worst in each quantity."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from explorer.core.configuration import Configuration
from explorer.core.errors import StageFailed
from explorer.space.space_file import ON, PER_DEVICE, interval_of
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

    def worst(quantity: str, best: Callable[..., Record]) -> dict[str, Any]:
        chosen = best(records.values(), key=lambda record: record.values[quantity])
        return {name: chosen.values[name] for name in (quantity, *interval_of(quantity))}

    slowest = max(records.values(), key=lambda record: record.values["latency_ms"])
    kept = dict.fromkeys(name for quantity in PER_DEVICE for name in (quantity, *interval_of(quantity)))
    each = {
        f"{name}{ON}{device}": record.values[name]
        for device, record in records.items()
        for name in (*kept, "build_key", "measure_key")
        if name in record.values
    }
    accuracy = worst("accuracy", min) if "accuracy" in slowest.values else {}
    return Record({**slowest.values, **accuracy, **worst("size_bytes", max), **each})
