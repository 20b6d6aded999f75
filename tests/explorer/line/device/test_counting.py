"""Sessions in turns: what disturbed each is said by all of them, and the disturbed count only where all are."""

from __future__ import annotations

from explorer.core.measurement.sessions import Readings
from explorer.line.device import counting
from explorer.line.device.counting import Session

CALM, BUSY = Readings(0.30, 0.8, 2.0), Readings(0.60, 0.8, 2.0)


def sessions_of(*typical: Readings) -> list[Session]:
    return [{"typical": each, "disturbed": ""} for each in typical]


def test_a_session_is_held_against_the_others_and_against_what_is_known() -> None:
    sessions = sessions_of(BUSY)
    counting.mark(sessions, Readings())
    assert counting.undisturbed(sessions) == sessions, "nothing tells yet"
    counting.mark(sessions, CALM)
    assert counting.undisturbed(sessions) == []
    together = sessions_of(BUSY, CALM, CALM)
    counting.mark(together, Readings())
    assert counting.counting(together) == counting.undisturbed(together) == together[1:]


def test_all_sessions_count_where_each_is_disturbed() -> None:
    sessions = sessions_of(BUSY, BUSY)
    counting.mark(sessions, CALM)
    assert counting.undisturbed(sessions) == []
    assert counting.counting(sessions) == sessions
