"""One trial on record → when it ran, and the sessions that measured it, each with what disturbed it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.core.configuration import parts
from explorer.core.measurement.quantities import on_device
from explorer.core.measurement.sessions import disturbance
from explorer.workspace.database import history
from explorer.workspace.database.history import End

if TYPE_CHECKING:
    from explorer.results.open_study import OpenStudy


@dataclass(frozen=True)
class Measured:
    """One session that measured a stack.

    Parameters
    ----------
    taken
        When it was put on record, in UTC.
    median_ms
        Of its quiet samples.
    disturbed
        In one sentence what disturbed it; "" for a quiet session.
    """

    taken: datetime.datetime
    median_ms: float
    disturbed: str


@dataclass(frozen=True)
class TrialHistory:
    """When a trial ended, in UTC, and by device the sessions that measured its stack, oldest first."""

    end: End | None
    sessions: Mapping[str, Sequence[Measured]]


def history_of(opened: OpenStudy, number: int) -> TrialHistory:
    """Return the history of one finished trial of an opened study.

    Sessions of other trials that share the compiled library are among its own: they measured the same.
    """
    found = opened.frame[opened.frame["number"] == number]
    end = history.end(opened.records.engine, opened.name, number)
    if found.empty or found.iloc[0]["state"] != "complete":
        return TrialHistory(end, {})
    row = found.iloc[0]
    devices = parts(str(row["device"]))
    keys = {name: row.get(on_device("measure_key", name if len(devices) > 1 else None)) for name in devices}
    return TrialHistory(
        end, {device: _sessions(opened, key, device) for device, key in keys.items() if isinstance(key, str)}
    )


def _sessions(opened: OpenStudy, key: str, device: str) -> list[Measured]:
    taken, place = history.sessions(opened.records.engine, key, device), opened.records.sessions.place(key, device)
    if not taken or not place:
        return []
    usual = opened.records.sessions.usual(*place)
    return [Measured(each.taken, each.session.median_ms, disturbance(each.session.readings, usual)) for each in taken]
