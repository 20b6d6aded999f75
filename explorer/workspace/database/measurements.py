"""Observations of a library's latency → a table of the studies' database that keeps every sample."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from explorer.core.measurement.sessions import Session
from explorer.workspace.database import lasting
from explorer.workspace.database.schema import MeasurementRow
from explorer.workspace.database.sessions import Sessions
from explorer.workspace.database.soundness import is_finite


class Measurements:
    """The observations in one database; none is ever changed.

    Parameters
    ----------
    sessions
        Where those of networks are entered too, in short.
    """

    def __init__(self, engine: sa.Engine, sessions: Sessions) -> None:
        self._engine = engine
        self._sessions = sessions

    def add(self, key: str, device: str, samples_ms: list[float], details: Mapping[str, object]) -> int:
        """Append an observation of `key` (library, threads and protocol) on `device`; return its number."""
        return self._enter(key, device, samples_ms, details)

    def add_session(
        self,
        key: str,
        device: str,
        threads: int,
        session: Session,
        samples_ms: list[float],
        details: Mapping[str, object],
        identity: str = "",
    ) -> None:
        """Append an observation likewise, which is one session of a network's measurement on a device of `identity`."""

        def in_short(connection: sa.Connection, measurement: int) -> None:
            self._sessions.add(connection, measurement, key, device, threads, session, identity)

        self._enter(key, device, samples_ms, details, in_short)

    def _enter(
        self,
        key: str,
        device: str,
        samples_ms: list[float],
        details: Mapping[str, object],
        beside: Callable[[sa.Connection, int], None] | None = None,
    ) -> int:
        row: dict[str, Any] = {
            "key": key,
            "device": device,
            "samples_ms": samples_ms,
            "details": dict(details),
            "taken": datetime.datetime.now(datetime.UTC),
        }
        return lasting.entered(self._engine, MeasurementRow, row, beside)

    def median(self, key: str, device: str) -> float | None:
        """Return the median in ms over all samples of `key` on `device`, if any."""
        query = sa.select(MeasurementRow.samples_ms).where(MeasurementRow.key == key, MeasurementRow.device == device)
        lists = [own for (own,) in lasting.rows(self._engine, query) if isinstance(own, list)]
        samples = [sample for own in lists for sample in own if is_finite(sample)]
        return statistics.median(samples) if samples else None

    def of(self, key: str, device: str) -> list[dict[str, Any]]:
        """Return every observation of `key` on `device` with its raw samples, oldest first."""
        table = MeasurementRow.__table__
        columns = [column for column in table.c if column.name != "entry"]
        query = sa.select(*columns).where(table.c.key == key, table.c.device == device).order_by(table.c.id)
        return [dict(row._mapping) for row in lasting.rows(self._engine, query)]
