"""A device that answers → its identity on record, under its name, beside those that it had before."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa

from explorer.core.identity import Identity
from explorer.workspace.database import lasting
from explorer.workspace.database.schema import DeviceRow


class KnownDevices:
    """The devices of one database that have answered."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, device: str, identity: Identity) -> None:
        """Put on record that a device has answered now, as one of this identity."""
        now = datetime.datetime.now(datetime.UTC)
        here = DeviceRow.device == device, DeviceRow.identity == identity.key

        def enter(_again: bool) -> None:
            with self._engine.begin() as connection:
                if connection.execute(sa.update(DeviceRow).where(*here).values(answered=now)).rowcount == 0:
                    row = {"device": device, "identity": identity.key, "facts": dict(identity.facts), "answered": now}
                    connection.execute(sa.insert(DeviceRow).values(**row))

        lasting.done(enter)

    def last(self, device: str) -> Identity | None:
        """Return the identity under which a device has answered last; None if it has not."""
        query = sa.select(DeviceRow.facts).where(DeviceRow.device == device).order_by(DeviceRow.answered.desc())
        return self._identity(query.limit(1))

    def of(self, device: str, identity: str) -> Identity | None:
        """Return an identity of a device by its key; None if it has not answered as that."""
        query = sa.select(DeviceRow.facts).where(DeviceRow.device == device, DeviceRow.identity == identity)
        return self._identity(query)

    def _identity(self, query: sa.Select[tuple[Any]]) -> Identity | None:
        facts = next((row[0] for row in lasting.rows(self._engine, query)), None)
        return Identity(facts) if isinstance(facts, dict) else None  # a damaged row tells nothing
