"""Sessions of measurements in the studies' database → latencies, by all that is known of the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from explorer.core.sessions import Estimate, Readings, Session, disturbance, latency, pooled_spread, usual
from explorer.workspace.schema import SessionRow

READINGS = SessionRow.arithmetic_ms, SessionRow.wake_us, SessionRow.memory_ms, SessionRow.taken


@dataclass(frozen=True)
class _Known:
    """Everything that sessions tell of a device at a number of threads, when there were `sessions` of them."""

    sessions: int
    usual: Readings
    spread: float


class Sessions:
    """The sessions of one database.

    What they tell of the device as a whole is read again whenever there are a tenth more of them: to read it takes long
    where there are many, and it hardly changes then.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[str, int], _Known] = {}
        self._added: dict[tuple[str, int], int] = {}

    def add(
        self, connection: sa.Connection, measurement: int, key: str, device: str, threads: int, session: Session
    ) -> None:
        """Put a session on record, of the measurement of this number."""
        readings = session.readings._asdict()
        row = {"measurement": measurement, "key": key, "device": device, "threads": threads}
        connection.execute(sa.insert(SessionRow).values(**row, median_ms=session.median_ms, **readings))
        self._added[device, threads] = self._added.get((device, threads), 0) + 1

    def of(self, key: str, device: str) -> list[Session]:
        """Return the sessions of `key` on `device`, oldest first."""
        return [session for _, session in self._rows(key, device)]

    def latency(self, key: str, device: str) -> Estimate | None:
        """Return the latency that the sessions of `key` on `device` tell; None if there are none."""
        rows = self._rows(key, device)
        if not rows:
            return None
        known = self.known(device, rows[0][0])
        return latency([session for _, session in rows], known.usual, known.spread)

    def latencies(self) -> dict[tuple[str, str], Estimate]:
        """Return the latency of every key and device that has sessions."""
        columns = SessionRow.key, SessionRow.device, SessionRow.threads, SessionRow.median_ms, *READINGS
        query = sa.select(*columns).order_by(SessionRow.key, SessionRow.device, SessionRow.measurement)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        places: dict[tuple[str, int], list[Sequence[Any]]] = {}
        for row in rows:
            places.setdefault((row.device, row.threads), []).append(row)
        for place, own in places.items():
            self._known[place], self._added[place] = _told((row[0], *row[3:]) for row in own), 0
        found = {}
        for (key, device, threads), group in itertools.groupby(rows, itemgetter(0, 1, 2)):
            known = self.known(device, threads)
            sessions = [Session(own, Readings(*readings)) for _, _, _, own, *readings in group]
            if told := latency(sessions, known.usual, known.spread):
                found[key, device] = told
        return found

    def usual(self, device: str, threads: int) -> Readings:
        """Return the readings of the control that sessions on a device are held against."""
        return self.known(device, threads).usual

    def known(self, device: str, threads: int) -> _Known:
        """Return what all sessions tell of a device at a number of threads."""
        place = device, threads
        last, added = self._known.get(place), self._added.get(place, 0)
        if last is None or added > last.sessions / 10:
            self._known[place], self._added[place] = self._read(*place), 0
        return self._known[place]

    def _read(self, device: str, threads: int) -> _Known:
        columns = SessionRow.key, SessionRow.median_ms, *READINGS
        here = SessionRow.device == device, SessionRow.threads == threads
        query = sa.select(*columns).where(*here).order_by(SessionRow.key, SessionRow.measurement)
        with self._engine.connect() as connection:
            return _told(connection.execute(query).all())

    def _rows(self, key: str, device: str) -> Sequence[tuple[int, Session]]:
        columns = SessionRow.threads, SessionRow.median_ms, *READINGS
        here = SessionRow.key == key, SessionRow.device == device
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).where(*here).order_by(SessionRow.measurement)).all()
        return [(threads, Session(own, Readings(*readings))) for threads, own, *readings in rows]


def _told(rows: Iterable[Sequence[Any]]) -> _Known:
    """Return what sessions on one device tell of it: rows of key, by which they are sorted, median and readings."""
    rows = list(rows)
    known = usual(Readings(*row[2:]) for row in rows)
    quiet = [(key, own) for key, own, *readings in rows if not disturbance(Readings(*readings), known)]
    stacks = ([own for _, own in group] for _, group in itertools.groupby(quiet, itemgetter(0)))
    return _Known(len(rows), known, pooled_spread(own for own in stacks if len(own) > 1))
