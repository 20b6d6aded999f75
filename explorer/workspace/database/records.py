"""The study's database → its trials and, each as a part, all else that is on record beside the Optuna study in it."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from explorer.core.configuration import AXES, Configuration
from explorer.core.errors import DOMINATED, Failure, WorkspaceError
from explorer.workspace.database import lasting
from explorer.workspace.database.connection import connect, create_tables
from explorer.workspace.database.executions import Executions
from explorer.workspace.database.known_devices import KnownDevices
from explorer.workspace.database.measurements import Measurements
from explorer.workspace.database.schema import TrialRow
from explorer.workspace.database.sessions import Sessions
from explorer.workspace.database.soundness import why_odd
from explorer.workspace.database.unreadable import Unreadable, plain

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
    """The trials of all studies in one database, and the parts that hold the rest.

    Parameters
    ----------
    url
        An SQLAlchemy URL; SQLite files are used in write-ahead mode, so that readers never block the study.

    Attributes
    ----------
    measurements : of libraries, every sample of them
    sessions : of the measurements of networks, and the latencies that they tell
    executions : of stages
    devices : that have answered, by what they said that they were
    """

    def __init__(self, url: str) -> None:
        self.engine = connect(url)
        create_tables(self.engine)
        self.sessions = Sessions(self.engine)
        self.measurements = Measurements(self.engine, self.sessions)
        self.executions = Executions(self.engine)
        self.devices = KnownDevices(self.engine)
        self._odd: dict[str, dict[object, str]] = {}
        self._objectives: dict[str, list[str]] = {}

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
            "finished": datetime.datetime.now(datetime.UTC),
        }
        with contextlib.suppress(sa.exc.IntegrityError):
            self._execute(sa.insert(TrialRow).values(**row))

    def revise(self, study: str, number: int, record: Record) -> None:
        """Replace the values of a complete trial by those of `record`: later sessions say more of its latency."""
        here = TrialRow.study == study, TrialRow.number == number
        self._execute(sa.update(TrialRow).where(*here).values(values=dict(record.values)))

    def outcome(self, study: str, number: int) -> Record | Failure | None:
        """Return how a trial ended, or None if it has not."""
        rows = self._trials(study, TrialRow.values, TrialRow.failure, numbers=[number])
        return next((_outcome(values, failure) for _, values, failure in rows), None)

    def complete(self, study: str, numbers: Sequence[int] | None = None) -> list[tuple[int, Configuration, Record]]:
        """Return number, configuration and record of the complete trials of a study, in the order of the numbers.

        Parameters
        ----------
        numbers
            The trials to return, at most some thousands; all trials unless given.
        """
        rows = self._trials(study, TrialRow.configuration, TrialRow.values, TrialRow.failure, numbers=numbers)
        return [
            (number, Configuration.from_dict(axes), Record(values))
            for number, axes, values, failure in rows
            if failure is None
        ]

    def configurations(self, study: str) -> list[Configuration]:
        """Return the configurations of a study that have an outcome, in the order of the trials' numbers."""
        return [Configuration.from_dict(axes) for _, axes in self._trials(study, TrialRow.configuration)]

    def values(self) -> Iterator[tuple[Configuration, dict[str, Any]]]:
        """Yield configuration and values of every complete trial of all studies."""
        for study in self.studies():
            for _, configuration, record in self.complete(study):
                yield configuration, dict(record.values)

    def count(self, study: str) -> Ended:
        """Return how many trials of a study have ended in which way; those that cannot be read are not among them."""
        if self.odd(study):
            failures = [failure for _, failure in self._trials(study, TrialRow.failure)]
            kinds = [failure["kind"] for failure in failures if failure is not None]
            total, without, left_out = len(failures), len(kinds), kinds.count(DOMINATED)
        else:
            kind = TrialRow.failure["kind"].as_string()
            skipped = sa.func.count(sa.case((kind == DOMINATED, 1)))
            query = sa.select(sa.func.count(), sa.func.count(TrialRow.failure), skipped).where(TrialRow.study == study)
            ((total, without, left_out),) = lasting.rows(self.engine, query)
        return Ended(total - without, without - left_out, left_out)

    def odd(self, study: str) -> Mapping[object, str]:
        """Return number → what is odd about each trial of a study that cannot be read, and so is left out everywhere.

        The database is looked through once; this process itself puts nothing odd on record.
        """
        if study not in self._odd:
            self._odd[study] = {}
            table = TrialRow.__table__
            for row in lasting.rows(self.engine, sa.select(table).where(table.c.study == study)):
                if why := why_odd(dict(row._mapping), self._needed(study)):
                    self._odd[study][row.number] = why
        return self._odd[study]

    def _needed(self, study: str) -> Sequence[str]:
        """Return the objectives of a study, which every complete trial has values of."""
        if study not in self._objectives:
            try:
                asked = self.study_attributes(study)["question"]["objectives"]
                self._objectives[study] = [str(name) for name, _ in asked]
            except (WorkspaceError, KeyError, TypeError, ValueError):  # whoever needs them says what is wrong
                self._objectives[study] = []
        return self._objectives[study]

    def _trials(self, study: str, *columns: Any, numbers: Sequence[int] | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the number and these columns of the trials of a study that can be read, in the order of the numbers."""
        query = sa.select(TrialRow.number, *columns).where(TrialRow.study == study).order_by(TrialRow.number)
        if numbers is not None:
            query = query.where(TrialRow.number.in_(numbers))
        odd = self.odd(study)
        return (tuple(row) for row in lasting.rows(self.engine, query) if row[0] not in odd)

    def _execute(self, statement: sa.Executable) -> None:
        """Execute a statement that changes nothing when it is executed a second time."""

        def write(_again: bool) -> None:
            with self.engine.begin() as connection:
                connection.execute(statement)

        lasting.done(write)

    def studies(self) -> list[str]:
        """Return the names of all studies with a trial, the one that finished a trial last first."""
        query = sa.select(TrialRow.study).group_by(TrialRow.study).order_by(sa.func.max(TrialRow.finished).desc())
        return [name for (name,) in lasting.rows(self.engine, query) if isinstance(name, str)]

    def study_attributes(self, study: str) -> dict[str, Any]:
        """Return what a run notes of its space in the Optuna study; see `explorer.search.optuna_study.study`.

        Optuna's own way to read it opens another connection and imports Optuna, which takes longer than all else.
        """
        studies = sa.table("studies", sa.column("study_id"), sa.column("study_name"))
        attributes = sa.table("study_user_attributes", sa.column("study_id"), sa.column("key"), sa.column("value_json"))
        query = sa.select(attributes.c.key, attributes.c.value_json).where(
            attributes.c.study_id == studies.c.study_id, studies.c.study_name == study
        )
        found = {key: plain(text) for key, text in lasting.rows(self.engine, query)}
        for key, value in found.items():
            if isinstance(value, Unreadable):
                where = f"study '{study}' in the database {self.engine.url.render_as_string(hide_password=True)}"
                raise WorkspaceError(f"{where}: its note '{key}' cannot be read: {value.why}; put a copy in its place")
        return found

    def frame(self, study: str) -> pd.DataFrame:
        """Return one row per finished trial, in the order of their numbers.

        Columns are ``number``, ``state`` ("complete", "failed" or "skipped"), the axes of the configuration, whatever
        the record holds (``accuracy``, ``latency_ms``, ``size_bytes``, …), ``failed_stage``, ``failure_kind``,
        ``failure``, ``configuration_id`` and ``seconds``.
        """
        import pandas as pd

        table = TrialRow.__table__
        query = sa.select(table).where(table.c.study == study).order_by(table.c.number)
        odd, found = self.odd(study), lasting.rows(self.engine, query)
        rows = [_flat(row._mapping) for row in found if row.number not in odd]
        return pd.DataFrame(rows)


def _outcome(values: dict[str, Any], failure: dict[str, Any] | None) -> Record | Failure:
    return Record(values) if failure is None else Failure(**failure)


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
