"""A complete trial → what each program of its network takes on its devices, kept and named on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from explorer.core.errors import ExplorerError, StageFailed
from explorer.core.measurement.quantities import on_device
from explorer.engines.engine import Engine
from explorer.line.trials.profiled import profiled
from explorer.space.devices import Device
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records

PROFILE_KEY = "profile_key"  # column of a record, and of one on several devices with each device's name


def refuse(row: Mapping[str, object]) -> None:
    """Raise ExplorerError for the row of a trial that has no network to profile."""
    if row["state"] != "complete":
        raise ExplorerError(f"trial {row['number']} is {row['state']} and has no network to profile")


def refuse_gpus(devices: Mapping[str, Device], names: Sequence[str]) -> None:
    """Raise ExplorerError if one of the devices of these names is a GPU."""
    for name in names:
        if devices[name].is_gpu:
            raise ExplorerError(
                f"device '{name}' is a GPU, which computes on after its host's call of a layer has returned; layers "
                "are timed on processors"
            )


def take(space: Space, records: Records, engine: Engine, number: int, sessions: int) -> None:
    """Profile a complete trial and put the profiles' keys on its record.

    Raises
    ------
    ExplorerError
        If it cannot be profiled.
    """
    ((_, configuration, record),) = records.complete(space.name, [number])
    try:
        found = profiled(configuration, space.settings, engine, sessions)
    except StageFailed as failed:
        raise ExplorerError(f"trial {number} cannot be profiled: {failed.failure.message}") from failed
    several = len(found) > 1
    keys = {
        on_device(PROFILE_KEY, device) if several else PROFILE_KEY: artifact.key for device, artifact in found.items()
    }
    records.revise(space.name, number, Record({**record.values, **keys}))
