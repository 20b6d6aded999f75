"""Sessions that two libraries take turns in → what disturbed each of them, and which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, TypeVar

from explorer.core.measurement.sessions import Readings, disturbances


class Session(TypedDict):
    """The part of a session that tells how the device was.

    Attributes
    ----------
    typical : readings of the control; see `explorer.line.contracts.measure.Values`
    disturbed : what disturbed the session, in one sentence; empty if nothing did, or nothing tells
    """

    typical: Sequence[float | None]
    disturbed: str


Own = TypeVar("Own", bound=Session)


def mark(sessions: Sequence[Session], usual: Sequence[float | None]) -> None:
    """Say of each session what disturbed it, by what is known of the device after the last one.

    Parameters
    ----------
    usual
        What was known of the device's control before; see `explorer.line.contracts.on_device.InSessions`.
    """
    found = disturbances([Readings(*each["typical"]) for each in sessions], Readings(*usual))
    for session, why in zip(sessions, found, strict=True):
        session["disturbed"] = why


def undisturbed(sessions: Sequence[Own]) -> list[Own]:
    """Return the sessions that nothing disturbed."""
    return [each for each in sessions if not each["disturbed"]]


def counting(sessions: Sequence[Own]) -> list[Own]:
    """Return the sessions that nothing disturbed or, if there are none, all."""
    return undisturbed(sessions) or list(sessions)
