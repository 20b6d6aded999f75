"""Trials, measurements and stage executions → tables of the study's database, beside the Optuna study in it."""

from __future__ import annotations

import contextlib
import datetime
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from explorer.core.configuration import AXES, Configuration
from explorer.core.errors import DOMINATED, Failure
from explorer.core.sessions import Session
from explorer.workspace.database import connect, create_tables
from explorer.workspace.known_devices import KnownDevices
from explorer.workspace.schema import ExecutionRow, MeasurementRow, TrialRow
from explorer.workspace.sessions import Sessions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Record:
    """The results of a trial that went well.

    Parameters
    ----------
    values
        Flat plain values: accuracies as shares in [0, 1], sizes in bytes, latencies in ms, and the keys of the
        artifacts they come from.
    """

    values: Mapping[str, Any]


class Ended(NamedTuple):
    """Numbers of trials by how they ended; skipped trials would have been dominated."""

    complete: int
    failed: int
    skipped: int


class Records:
    """The explorer's own tables in one database.

    Parameters
    ----------
    url
        An SQLAlchemy URL; SQLite files are used in write-ahead mode, so that readers never block the study.

    Attributes
    ----------
    sessions : of the measurements of networks, and the latencies that they tell
    devices : that have answered, by what they said that they were
    """

    def __init__(self, url: str) -> None:
        self.engine = connect(url)
        create_tables(self.engine)
        self.sessions = Sessions(self.engine)
        self.devices = KnownDevices(self.engine)

    def close(self) -> None:
        """Close every connection to the database; a later question opens one again."""
        self.engine.dispose()

    def add_trial(
        self, study: str, number: int, configuration: Configuration, outcome: Record | Failure, seconds: float
    ) -> None:
        """Record the outcome of a trial, once: a second call for the same trial changes nothing."""
        failure = vars(outcome) if isinstance(outcome, Failure) else None
        row = {
            "study": study,
            "number": number,
            "configuration_id": configuration.id,
            "configuration": configuration.as_dict(),
            "values": dict(outcome.values) if isinstance(outcome, Record) else {},
            "failure": failure,
            "seconds": seconds,
            "finished": _now(),
        }
        with contextlib.suppress(sa.exc.IntegrityError), self.engine.begin() as connection:
            connection.execute(sa.insert(TrialRow).values(**row))

    def revise(self, study: str, number: int, record: Record) -> None:
        """Replace the values of a complete trial by those of `record`: later sessions say more of its latency."""
        here = TrialRow.study == study, TrialRow.number == number
        with self.engine.begin() as connection:
            connection.execute(sa.update(TrialRow).where(*here).values(values=dict(record.values)))

    def outcome(self, study: str, number: int) -> Record | Failure | None:
        """Return how a trial ended, or None if it has not."""
        query = sa.select(TrialRow.values, TrialRow.failure).where(TrialRow.study == study, TrialRow.number == number)
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Record(row[0]) if row[1] is None else Failure(**row[1])

    def complete(self, study: str, numbers: Sequence[int] | None = None) -> list[tuple[int, Configuration, Record]]:
        """Return number, configuration and record of the complete trials of a study, in the order of the numbers.

        Parameters
        ----------
        numbers
            The trials to return, at most some thousands; all trials unless given.
        """
        columns = TrialRow.number, TrialRow.configuration, TrialRow.values
        query = sa.select(*columns).where(TrialRow.study == study, TrialRow.failure.is_(None)).order_by(TrialRow.number)
        if numbers is not None:
            query = query.where(TrialRow.number.in_(numbers))
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [(number, Configuration.from_dict(axes), Record(values)) for number, axes, values in rows]

    def configurations(self, study: str) -> list[Configuration]:
        """Return the configurations of a study that have an outcome, in the order of the trials' numbers."""
        query = sa.select(TrialRow.configuration).where(TrialRow.study == study).order_by(TrialRow.number)
        with self.engine.connect() as connection:
            return [Configuration.from_dict(axes) for axes in connection.execute(query).scalars()]

    def values(self) -> Iterator[tuple[Configuration, dict[str, Any]]]:
        """Yield configuration and values of every complete trial of all studies."""
        query = sa.select(TrialRow.configuration, TrialRow.values).where(TrialRow.failure.is_(None))
        with self.engine.connect() as connection:
            for axes, values in connection.execute(query):
                yield Configuration.from_dict(axes), values

    def count(self, study: str) -> Ended:
        """Return how many trials of a study have ended in which way."""
        kind = TrialRow.failure["kind"].as_string()
        skipped = sa.func.count(sa.case((kind == DOMINATED, 1)))
        query = sa.select(sa.func.count(), sa.func.count(TrialRow.failure), skipped).where(TrialRow.study == study)
        with self.engine.connect() as connection:
            total, without, left_out = connection.execute(query).one()
        return Ended(total - without, without - left_out, left_out)

    def studies(self) -> list[str]:
        """Return the names of all studies with a trial, the one that finished a trial last first."""
        query = sa.select(TrialRow.study).group_by(TrialRow.study).order_by(sa.func.max(TrialRow.finished).desc())
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def study_attributes(self, study: str) -> dict[str, Any]:
        """Return what a run notes of its space in the Optuna study; see `explorer.search.study`.

        Optuna's own way to read it opens another connection and imports Optuna, which takes longer than all else.
        """
        studies = sa.table("studies", sa.column("study_id"), sa.column("study_name"))
        attributes = sa.table("study_user_attributes", sa.column("study_id"), sa.column("key"), sa.column("value_json"))
        query = sa.select(attributes.c.key, attributes.c.value_json).where(
            attributes.c.study_id == studies.c.study_id, studies.c.study_name == study
        )
        with self.engine.connect() as connection:
            return {key: json.loads(text) for key, text in connection.execute(query)}

    def add_measurement(self, key: str, device: str, samples_ms: list[float], details: Mapping[str, object]) -> int:
        """Append an observation of `key` (library, threads and protocol) on `device`; return its number."""
        with self.engine.begin() as connection:
            return _measurement(connection, key, device, samples_ms, details)

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
        with self.engine.begin() as connection:
            measurement = _measurement(connection, key, device, samples_ms, details)
            self.sessions.add(connection, measurement, key, device, threads, session, identity)

    def median(self, key: str, device: str) -> float | None:
        """Return the median in ms over all samples of `key` on `device`, if any."""
        query = sa.select(MeasurementRow.samples_ms).where(MeasurementRow.key == key, MeasurementRow.device == device)
        with self.engine.connect() as connection:
            samples = [sample for row in connection.execute(query).scalars() for sample in row]
        return statistics.median(samples) if samples else None

    def measurements(self, key: str, device: str) -> list[dict[str, Any]]:
        """Return every observation of `key` on `device` with its raw samples, oldest first."""
        table = MeasurementRow.__table__
        query = sa.select(table).where(table.c.key == key, table.c.device == device).order_by(table.c.id)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def add_execution(self, stage: str, key: str, seconds: float, failure: Failure | None = None) -> None:
        """Count one execution of a stage."""
        row = {"stage": stage, "key": key, "seconds": seconds, "finished": _now()}
        with self.engine.begin() as connection:
            connection.execute(sa.insert(ExecutionRow).values(**row, failure=vars(failure) if failure else None))

    def succeeded(self) -> list[tuple[str, str, float]]:
        """Return stage, key and seconds of every execution that did not fail."""
        columns = ExecutionRow.stage, ExecutionRow.key, ExecutionRow.seconds
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).where(ExecutionRow.failure.is_(None))).all()
        return [(stage, key, seconds) for stage, key, seconds in rows]

    def executions(self) -> pd.DataFrame:
        """Return one row per execution: stage, key, seconds, failure, finished."""
        import pandas as pd

        return pd.read_sql(sa.select(ExecutionRow.__table__), self.engine)

    def frame(self, study: str) -> pd.DataFrame:
        """Return one row per finished trial, in the order of their numbers.

        Columns are ``number``, ``state`` ("complete", "failed" or "skipped"), the axes of the configuration, whatever
        the record holds (``accuracy``, ``latency_ms``, ``size_bytes``, …), ``failed_stage``, ``failure_kind``,
        ``failure``, ``configuration_id`` and ``seconds``.
        """
        import pandas as pd

        table = TrialRow.__table__
        query = sa.select(table).where(table.c.study == study).order_by(table.c.number)
        with self.engine.connect() as connection:
            rows = [_flat(row) for row in connection.execute(query).mappings()]
        return pd.DataFrame(rows)


def _measurement(
    connection: sa.Connection, key: str, device: str, samples_ms: list[float], details: Mapping[str, object]
) -> int:
    row = {"key": key, "device": device, "samples_ms": samples_ms, "details": dict(details), "taken": _now()}
    inserted = connection.execute(sa.insert(MeasurementRow).values(**row)).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def _flat(row: sa.RowMapping) -> dict[str, Any]:
    failure = row["failure"] or {}
    without = "skipped" if failure.get("kind") == DOMINATED else "failed"
    return {
        "number": row["number"],
        "state": without if failure else "complete",
        **{axis: row["configuration"].get(axis) for axis in AXES},  # studies of before an axis came have none of it
        **row["values"],
        "failed_stage": failure.get("stage"),
        "failure_kind": failure.get("kind"),
        "failure": failure.get("message"),
        "configuration_id": row["configuration_id"],
        "seconds": row["seconds"],
    }


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
