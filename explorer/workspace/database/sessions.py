"""Sessions of measurements in the studies' database → latencies, by all that is known of the device."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from explorer.core.measurement.quantities import BESIDE
from explorer.core.measurement.sessions import (
    Estimate,
    Readings,
    Session,
    disturbance,
    latency,
    pooled_spread,
    usual,
    values_of,
)
from explorer.workspace.database import lasting
from explorer.workspace.database.schema import SessionRow
from explorer.workspace.database.soundness import is_finite

# The columns that a session is made of, in the order that `session_of` takes them in.
COLUMNS = (
    SessionRow.median_ms,
    *(getattr(SessionRow, name) for name in Readings._fields),
    SessionRow.server_peak_bytes,
    SessionRow.emulated,
    *(getattr(SessionRow, name) for name in BESIDE),
)
PLACE = SessionRow.device, SessionRow.threads, SessionRow.identity  # in the order of `Place`


class Place(NamedTuple):
    """Sessions that tell of one another: on one device at a number of threads.

    Parameters
    ----------
    identity
        Of the device; "" where that is not on record.
    """

    device: str
    threads: int
    identity: str = ""


@dataclass(frozen=True)
class _Known:
    """Everything that sessions tell of a device at a number of threads, when there were `sessions` of them."""

    sessions: int
    usual: Readings
    spreads: Mapping[str, float]


class Sessions:
    """The sessions of one database.

    What they tell of the device as a whole is read again whenever there are a tenth more of them: to read it takes long
    where there are many, and it hardly changes then.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._known: dict[Place, _Known] = {}
        self._added: dict[Place, int] = {}

    def add(
        self,
        connection: sa.Connection,
        measurement: int,
        key: str,
        device: str,
        threads: int,
        session: Session,
        identity: str = "",
    ) -> None:
        """Put a session on record, of the measurement of this number."""
        where = Place(device, threads, identity)
        place = {"measurement": measurement, "key": key, **where._asdict()}
        own = {name: getattr(session, name) for name in ("median_ms", "server_peak_bytes", "emulated")}
        values = {**own, **session.beside, **session.readings._asdict()}
        connection.execute(sa.insert(SessionRow).values(**place, **values))
        self._added[where] = self._added.get(where, 0) + 1

    def of(self, key: str, device: str) -> list[Session]:
        """Return the sessions of `key` on `device`, oldest first."""
        return [session for _, session in self._rows(key, device)]

    def latency(self, key: str, device: str) -> Estimate | None:
        """Return the latency that the sessions of `key` on `device` tell; None if there are none."""
        rows = self._rows(key, device)
        if not rows:
            return None
        known = self.known(*rows[0][0])
        return latency([session for _, session in rows], known.usual, known.spreads)

    def latencies(self) -> dict[tuple[str, str], Estimate]:
        """Return the latency of every key and device that has sessions."""
        columns = SessionRow.key, *PLACE, *COLUMNS
        query = sa.select(*columns).order_by(SessionRow.key, SessionRow.device, SessionRow.measurement)
        sound = [row for row in lasting.rows(self._engine, query) if is_sound(row[4:])]
        rows = [(row[0], _place(row[1:4]), session_of(row[4:])) for row in sound]
        places: dict[Place, list[tuple[str, Session]]] = defaultdict(list)
        for key, place, session in rows:
            places[place].append((key, session))
        for place, own in places.items():
            self._known[place], self._added[place] = _told(own), 0
        found = {}
        for (key, place), group in itertools.groupby(rows, itemgetter(0, 1)):
            known = self.known(*place)
            if told := latency([session for *_, session in group], known.usual, known.spreads):
                found[key, place.device] = told
        return found

    def place(self, key: str, device: str) -> Place | None:
        """Return where the sessions of `key` on `device` were taken; None if there are none."""
        rows = self._rows(key, device)
        return rows[0][0] if rows else None

    def identities(self) -> dict[tuple[str, str], str]:
        """Return of every key and device that has sessions the identity of the device; "" where that is unknown."""
        query = sa.select(SessionRow.key, *PLACE).distinct()
        places = [(row[0], _place(row[1:])) for row in lasting.rows(self._engine, query)]
        return {(key, place.device): place.identity for key, place in places}

    def usual(self, device: str, threads: int, identity: str = "") -> Readings:
        """Return the readings of the control that sessions on a device are held against."""
        return self.known(device, threads, identity).usual

    def known(self, device: str, threads: int, identity: str = "") -> _Known:
        """Return what all sessions tell of a device at a number of threads."""
        place = Place(device, threads, identity)
        last, added = self._known.get(place), self._added.get(place, 0)
        if last is None or added > last.sessions / 10:
            self._known[place], self._added[place] = self._read(place), 0
        return self._known[place]

    def _read(self, place: Place) -> _Known:
        identity = sa.func.coalesce(SessionRow.identity, "")
        here = SessionRow.device == place.device, SessionRow.threads == place.threads, identity == place.identity
        query = sa.select(SessionRow.key, *COLUMNS).where(*here).order_by(SessionRow.key, SessionRow.measurement)
        rows = [row for row in lasting.rows(self._engine, query) if is_sound(row[1:])]
        return _told([(row[0], session_of(row[1:])) for row in rows])

    def _rows(self, key: str, device: str) -> Sequence[tuple[Place, Session]]:
        here = SessionRow.key == key, SessionRow.device == device
        query = sa.select(*PLACE, *COLUMNS).where(*here).order_by(SessionRow.measurement)
        rows = [row for row in lasting.rows(self._engine, query) if is_sound(row[3:])]
        return [(_place(row[:3]), session_of(row[3:])) for row in rows]


def is_sound(row: Sequence[Any]) -> bool:
    """Tell whether a row of `COLUMNS` has numbers alone, as the explorer writes them."""
    median_ms, *others = row
    return is_finite(median_ms) and all(
        value is None or isinstance(value, bool) or is_finite(value) for value in others
    )


def _place(row: Sequence[Any]) -> Place:
    """Return the place that a row of `PLACE` tells of; an earlier version has put no identity on record."""
    return Place(row[0], row[1], row[2] or "")


def session_of(row: Sequence[Any]) -> Session:
    """Return the session that a row of `COLUMNS` tells of; an earlier version has put less on record."""
    end = 1 + len(Readings._fields)
    median_ms, *readings = row[:end]
    server_peak_bytes, emulated, *values = row[end:]
    beside = {name: value for name, value in zip(BESIDE, values, strict=True) if value is not None}
    return Session(median_ms, Readings(*readings), beside, server_peak_bytes, bool(emulated))


def _told(sessions: Sequence[tuple[str, Session]]) -> _Known:
    """Return what sessions on one device tell of it, each after its stack's key, by which they are sorted."""
    known = usual(session.readings for _, session in sessions)
    quiet = [(key, session) for key, session in sessions if not disturbance(session.readings, known)]
    stacks: dict[str, list[list[float]]] = defaultdict(list)  # quantity → of each stack its values
    for _, group in itertools.groupby(quiet, itemgetter(0)):
        own: dict[str, list[float]] = defaultdict(list)
        for _, session in group:
            for name, value in values_of(session).items():
                own[name].append(value)
        for name, values in own.items():
            stacks[name] += [values] if len(values) > 1 else []
    return _Known(len(sessions), known, {name: pooled_spread(own) for name, own in stacks.items()})
