"""The records of a study → how far it is, how long the rest will take, and what has begun."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from explorer.workspace.database import history
from explorer.workspace.database.history import Begun, End, Executed

if TYPE_CHECKING:
    from explorer.workspace.database.records import Records

RECENT = 20  # ended trials whose pace the rest is expected to keep


@dataclass(frozen=True)
class Pace:
    """How far a study is.

    Parameters
    ----------
    ended
        Trials with an outcome.
    wanted
        Trials that its latest run asked for; None where that is not on record.
    seconds_each
        Seconds from the end of a trial to the end of the next one, the mean of the last ones; None below two of them.
    begun
        Trials that run at the moment, or were cut off.
    last
        The execution of a stage that ended last in the workspace; None if there is none.
    """

    ended: int
    wanted: int | None
    seconds_each: float | None
    begun: Sequence[Begun]
    last: Executed | None

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the trials without an outcome will take at this pace; None where that is not known."""
        if self.wanted is None or self.seconds_each is None:
            return None
        return max(0, self.wanted - self.ended) * self.seconds_each

    def silent_seconds(self, now: datetime.datetime) -> float | None:
        """Return the seconds since the last stage ended; None if none has."""
        return None if self.last is None else max(0.0, (now - self.last.finished).total_seconds())


def pace_of(records: Records, study: str, wanted: int | None) -> Pace:
    """Return the pace of a study whose latest run asked for `wanted` trials."""
    engine = records.engine
    return Pace(
        ended=sum(records.count(study)),
        wanted=wanted,
        seconds_each=seconds_each(history.ends(engine, study, RECENT)),
        begun=history.begun(engine, study),
        last=history.last_execution(engine),
    )


def seconds_each(ends: Sequence[End]) -> float | None:
    """Return the mean time between the ends of trials, pauses between runs left out; None below two ends.

    A pause is what lies between an end and the begin of the next trial, as its own seconds tell.
    """
    gaps = [min((after.finished - before.finished).total_seconds(), after.seconds) for before, after in pairwise(ends)]
    return sum(gaps) / len(gaps) if gaps else None
