"""The tables that trials, measurements and executions of stages are in, beside Optuna's, in a study's database."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from explorer.workspace.database.unreadable import Unreadable


class Time(sa.TypeDecorator[datetime.datetime]):
    """A time, or `Unreadable` for what is none, which SQLite keeps in any column."""

    impl = sa.DateTime
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        """Return what makes a time of a column's value."""
        read = super().result_processor(dialect, coltype)

        def process(value: Any) -> Any:
            try:
                return read(value) if read else value
            except (ValueError, TypeError) as error:
                return Unreadable(str(error))

        return process


class Schema(DeclarativeBase):
    """The explorer's own tables, which stand beside Optuna's."""

    # Without none_as_null an absent failure would be stored as the JSON text 'null', which SQL counts as a value.
    type_annotation_map = {dict[str, Any]: sa.JSON(none_as_null=True), list[float]: sa.JSON, datetime.datetime: Time}


class TrialRow(Schema):
    """One configuration of one study, with its outcome."""

    __tablename__ = "dlas_trials"
    __table_args__ = (sa.UniqueConstraint("study", "configuration_id"),)

    study: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    configuration_id: Mapped[str]
    configuration: Mapped[dict[str, Any]]
    values: Mapped[dict[str, Any]]
    failure: Mapped[dict[str, Any] | None]
    seconds: Mapped[float]
    finished: Mapped[datetime.datetime]


class MeasurementRow(Schema):
    """One observation of a library's latency on a device; never changed afterwards."""

    __tablename__ = "dlas_measurements"
    __table_args__ = (sa.Index("dlas_measurements_of_entry", "entry", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(index=True)
    device: Mapped[str]
    samples_ms: Mapped[list[float]]
    details: Mapped[dict[str, Any]]
    taken: Mapped[datetime.datetime]
    entry: Mapped[str | None]  # of one call, so that what is repeated after a lost answer is on record once


class SessionRow(Schema):
    """One session of a network's measurement in short: what estimates read, of a measurement that has all of it."""

    __tablename__ = "dlas_sessions"
    __table_args__ = (sa.Index("dlas_sessions_of_device", "device", "threads"),)

    measurement: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(index=True)
    device: Mapped[str]
    threads: Mapped[int]
    median_ms: Mapped[float]
    arithmetic_ms: Mapped[float | None]
    wake_us: Mapped[float | None]
    memory_ms: Mapped[float | None]
    taken: Mapped[float | None]
    spread: Mapped[float | None]
    latency_p90_ms: Mapped[float | None]
    latency_p99_ms: Mapped[float | None]
    first_ms: Mapped[float | None]
    load_ms: Mapped[float | None]
    server_peak_bytes: Mapped[int | None] = mapped_column(sa.BigInteger)
    emulated: Mapped[bool | None]
    identity: Mapped[str | None]


class DeviceRow(Schema):
    """A device that has answered under a name, as what it said that it was; see `explorer.core.identity.Identity`."""

    __tablename__ = "dlas_devices"

    device: Mapped[str] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(primary_key=True)
    facts: Mapped[dict[str, Any]]
    answered: Mapped[datetime.datetime]


class ExecutionRow(Schema):
    """One execution of a stage; the stages of a trial that have none here were reused."""

    __tablename__ = "dlas_executions"
    __table_args__ = (sa.Index("dlas_executions_of_entry", "entry", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[str]
    key: Mapped[str]
    seconds: Mapped[float]
    failure: Mapped[dict[str, Any] | None]
    finished: Mapped[datetime.datetime]
    entry: Mapped[str | None]
