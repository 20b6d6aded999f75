"""A study's database → when its trials, sessions and stages ended, what has begun, and whether there is news."""

from __future__ import annotations

import contextlib
import datetime
from typing import NamedTuple

import sqlalchemy as sa

from explorer.core.measurement.sessions import Session
from explorer.workspace.database import lasting
from explorer.workspace.database.schema import ExecutionRow, MeasurementRow, SessionRow, TrialRow
from explorer.workspace.database.sessions import COLUMNS, is_sound, session_of
from explorer.workspace.database.soundness import why_odd


class Version(NamedTuple):
    """Counts that grow with everything that is put on record, so that equal ones mean that nothing is new."""

    trials: int
    execution: int
    session: int


class End(NamedTuple):
    """When a trial ended, in UTC, and the seconds that it took."""

    number: int
    seconds: float
    finished: datetime.datetime


class Begun(NamedTuple):
    """A trial that has begun and not ended, and when, in the local time of the machine that began it."""

    number: int
    start: datetime.datetime


class Executed(NamedTuple):
    """The last execution of a stage, when it ended, in UTC, and the seconds that it took."""

    stage: str
    seconds: float
    finished: datetime.datetime


class Taken(NamedTuple):
    """A session of measuring, and when it was put on record, in UTC."""

    session: Session
    taken: datetime.datetime


def version(engine: sa.Engine, study: str) -> Version:
    """Return what grows whenever `study` or the workspace that it is in has something new on record.

    Trials and sessions are never removed; a trial's values change only after a session has been added.
    """
    trials = sa.select(sa.func.count()).select_from(TrialRow).where(TrialRow.study == study).scalar_subquery()
    execution = sa.select(sa.func.max(ExecutionRow.id)).scalar_subquery()
    session = sa.select(sa.func.max(SessionRow.measurement)).scalar_subquery()
    (counts,) = lasting.rows(engine, sa.select(trials, execution, session))
    return Version(*(count or 0 for count in counts))


def ends(engine: sa.Engine, study: str, last: int) -> list[End]:
    """Return the ends of the `last` trials of a study that ended, the earliest first."""
    columns = TrialRow.number, TrialRow.seconds, TrialRow.finished
    query = sa.select(*columns).where(TrialRow.study == study).order_by(TrialRow.finished.desc()).limit(last)
    rows = [row for row in lasting.rows(engine, query) if why_odd(dict(row._mapping)) is None]
    return [End(number, seconds, _utc(finished)) for number, seconds, finished in reversed(rows)]


def end(engine: sa.Engine, study: str, number: int) -> End | None:
    """Return the end of one trial; None if it has none."""
    columns = TrialRow.number, TrialRow.seconds, TrialRow.finished
    query = sa.select(*columns).where(TrialRow.study == study, TrialRow.number == number)
    rows = [row for row in lasting.rows(engine, query) if why_odd(dict(row._mapping)) is None]
    return End(rows[0][0], rows[0][1], _utc(rows[0][2])) if rows else None


def begun(engine: sa.Engine, study: str) -> list[Begun]:
    """Return the trials of a study that Optuna has begun and that have no outcome, by their numbers.

    They run at the moment, or were cut off and will be given out again first.
    """
    studies = sa.table("studies", sa.column("study_id"), sa.column("study_name"))
    trials = sa.table("trials", *map(sa.column, ("study_id", "number", "state", "datetime_start")))
    recorded = sa.select(TrialRow.number).where(TrialRow.study == study)
    query = sa.select(trials.c.number, sa.cast(trials.c.datetime_start, sa.String)).where(
        trials.c.study_id == studies.c.study_id,
        studies.c.study_name == study,
        sa.cast(trials.c.state, sa.String) == "RUNNING",
        trials.c.number.not_in(recorded),
    )
    found = []
    for number, start in lasting.rows(engine, query.order_by(trials.c.number)):
        with contextlib.suppress(ValueError, TypeError):  # of another program, or damaged
            found.append(Begun(int(number), datetime.datetime.fromisoformat(start)))
    return found


def last_execution(engine: sa.Engine) -> Executed | None:
    """Return the execution of a stage that ended last in the database; None if there is none."""
    columns = ExecutionRow.stage, ExecutionRow.seconds, ExecutionRow.finished
    query = sa.select(*columns).order_by(ExecutionRow.id.desc()).limit(1)
    rows = [row for row in lasting.rows(engine, query) if why_odd(dict(row._mapping)) is None]
    return Executed(rows[0][0], rows[0][1], _utc(rows[0][2])) if rows else None


def sessions(engine: sa.Engine, key: str, device: str) -> list[Taken]:
    """Return the sessions of `key` on `device`, oldest first."""
    here = SessionRow.key == key, SessionRow.device == device, MeasurementRow.id == SessionRow.measurement
    query = sa.select(MeasurementRow.taken, *COLUMNS).where(*here).order_by(SessionRow.measurement)
    rows = lasting.rows(engine, query)
    sound = [row for row in rows if isinstance(row[0], datetime.datetime) and is_sound(row[1:])]
    return [Taken(session_of(row[1:]), _utc(row[0])) for row in sound]


def _utc(time: datetime.datetime) -> datetime.datetime:
    """Return a time on record with its zone, which SQLite does not keep."""
    return time.replace(tzinfo=datetime.UTC) if time.tzinfo is None else time.astimezone(datetime.UTC)
