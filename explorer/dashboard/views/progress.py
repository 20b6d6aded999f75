"""A snapshot → how far the study is, what is known of its workers, what is left, and what failed and why."""

from __future__ import annotations

import datetime

from dash import html
from dash.development.base_component import Component

from explorer.dashboard.state import Snapshot
from explorer.dashboard.views.elements import Shown, aria, duration, facts, moment, note, open_button, table

QUIET_SECONDS = 600  # without the end of any stage, after which a study may as well have stopped
MOST_NUMBERS = 12  # of failed trials that are named for each cause


def strip(snapshot: Snapshot) -> list[Component]:
    """Return the study's progress in one line, with a bar."""
    pace = snapshot.pace
    wanted = max(pace.wanted or 0, pace.ended)
    failed = int((snapshot.opened.frame["state"] == "failed").sum())
    skipped = int((snapshot.opened.frame["state"] == "skipped").sum())
    said = f"{pace.ended:,} of {wanted:,} trials" if pace.wanted else f"{pace.ended:,} trials"
    said += f" · {failed} failed" if failed else " · none failed"
    said += f" · {skipped} skipped" if skipped else ""
    label = f"{said}{_left(snapshot)}"
    return [html.Progress(value=str(pace.ended), max=str(max(1, wanted)), **aria(label=label)), html.Span(label)]


def _left(snapshot: Snapshot) -> str:
    pace = snapshot.pace
    if pace.wanted is not None and pace.ended >= pace.wanted:
        return " · complete"
    left, silent = pace.seconds_left, pace.silent_seconds(datetime.datetime.now(datetime.UTC))
    if silent is not None and silent > QUIET_SECONDS:
        return f" · no stage has ended for {duration(silent)}"
    return "" if left is None else f" · about {duration(left)} left"


def details(snapshot: Snapshot) -> list[Component]:
    """Return what runs, as far as the records tell, and the failures by stage and cause."""
    pace = snapshot.pace
    known: list[tuple[str, Shown | list[Shown]]] = []
    if pace.begun:
        names = ", ".join(str(each.number) for each in pace.begun[:MOST_NUMBERS])
        more = f" and {len(pace.begun) - MOST_NUMBERS} more" if len(pace.begun) > MOST_NUMBERS else ""
        known.append(("trials begun and not ended", f"{names}{more}: they run, or were cut off"))
    else:
        known.append(("trials begun and not ended", "none"))
    if pace.last is not None:
        took = f" at {pace.last.stage}, which took {duration(pace.last.seconds)}"
        known.append(("a worker's last stage ended", [moment(pace.last.finished), took]))
    if pace.seconds_each is not None:
        known.append(("from one trial's end to the next", f"{duration(pace.seconds_each)}, mean of the last ones"))
    return [facts(known), html.H3("Failures"), *_failures(snapshot)]


def _failures(snapshot: Snapshot) -> list[Component]:
    if snapshot.failures.empty:
        return [note("no trial has failed")]
    rows = []
    for _, cause in snapshot.failures.iterrows():
        numbers = [open_button(int(number)) for number in cause["numbers"][:MOST_NUMBERS]]
        more = [f" and {cause['trials'] - MOST_NUMBERS} more"] if cause["trials"] > MOST_NUMBERS else []
        links = html.Span([*(part for button in numbers for part in (button, " ")), *more])
        rows.append((cause["failed_stage"], cause["failure_kind"], str(cause["trials"]), cause["failure"], links))
    heads = ("stage", "kind", "trials", "the first one's message", "which")
    return [table(heads, rows, "Failed trials by stage and cause", numeric=[2])]
