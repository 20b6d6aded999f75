"""A snapshot and a trial's number → all that is on record of its stack: results, choices, layers, profile, history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from dash import html
from dash.development.base_component import Component

from explorer.core.configuration import LAYERS
from explorer.core.errors import ExplorerError
from explorer.core.measurement.metric import Metric
from explorer.dashboard.brush import text
from explorer.dashboard.state import Snapshot
from explorer.dashboard.views.elements import duration, facts, fault, moment, note, table
from explorer.profiles.profile import Profile
from explorer.results import readable
from explorer.results.history import history_of
from explorer.results.trials.account import LayerAccount
from explorer.results.trials.trial import Trial

QUANTITIES: Mapping[str, str] = {  # column → what it is called; those that a trial lacks are left out
    "latency_ms": "latency",
    "latency_p90_ms": "90 of 100 runs take at most", "latency_p99_ms": "99 of 100 runs take at most",
    "first_ms": "first inference", "load_ms": "loading", "images_per_second": "images per second",
    "size_bytes": "size", "peak_memory_bytes": "memory while it runs", "macs": "multiplications",
    "parameters": "parameters",
}  # fmt: skip


def panel(snapshot: Snapshot, number: int) -> list[Component]:
    """Return a stack's panel; what cannot be read of it stands as a fault in its place."""
    try:
        trial = snapshot.opened.trial(number)
    except (ExplorerError, OSError, ValueError) as error:
        return [html.H3(f"Trial {number}"), fault(str(error))]
    row = trial.row
    state = str(row["state"])
    head: list[Component] = [html.H3([f"Trial {number} ", html.Span(state, className=f"state {state}")])]
    if state != "complete":
        head.append(_failure(trial))
    parts: list[tuple[str, Callable[[], list[Component]]]] = [
        ("Results", lambda: [facts(results(row))]),
        ("Choices", lambda: [facts(choices(row))]),
        ("Layers", lambda: [_layers(trial.layers)]),
        ("Profile", lambda: _profile(snapshot, number)),
        ("History", lambda: _history(snapshot, number)),
    ]
    shown = parts if state == "complete" else [parts[1], parts[4]]
    return head + [_part(title, make) for title, make in shown]


def _part(title: str, make: Callable[[], list[Component]]) -> html.Section:
    """Return one part of the panel; another part's fault does not keep it from showing."""
    try:
        content = make()
    except (ExplorerError, OSError, ValueError, KeyError) as error:
        content = [fault(f"{title.lower()} cannot be read: {error}")]
    return html.Section([html.H4(title), *content])


def quantities(metric: Metric) -> dict[str, str]:
    """Return column → what it is called, of all that a complete trial may have reached, its metric first."""
    return {metric.name: f"{metric.name} (validation)", metric.test: f"{metric.name} (test)", **QUANTITIES}


def results(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a complete trial has reached, as names and values for people."""
    found, metric = [], Metric.of(row)
    for column, name in quantities(metric).items():
        if (value := row.get(column)) is None:
            continue
        low, high = _ends(row, column)
        say = partial(shown, column, metric=metric)
        within = f" ({say(low)} to {say(high)})" if low is not None and high is not None else ""
        found.append((name, say(value) + within))
    if row.get("convolutions") is not None:
        found.append(("convolutions as asked", f"{row['convolutions_as_asked']} of {row['convolutions']}"))
    if why := row.get("latency_disturbed"):
        found.append(("disturbed", str(why)))
    return found


def _ends(row: Mapping[str, Any], column: str) -> tuple[float | None, float | None]:
    stem, unit = (column[:-3], "_ms") if column.endswith("_ms") else (column, "")
    return row.get(f"{stem}_low{unit}"), row.get(f"{stem}_high{unit}")


def shown(column: str, value: float, metric: Metric) -> str:
    """Return a quantity's value for people, with its unit; `metric` is what the study's networks are judged by."""
    if column in (metric.name, metric.test):
        return metric.text(value)
    said = readable.quantity(column, value)
    return f"{said} ms" if column.endswith("_ms") else said


def choices(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the choice on every axis that the stack has, layer by layer of the stack."""
    return [
        (layer, ", ".join(f"{axis} {text(row[axis])}" for axis in own if row.get(axis) is not None))
        for layer, own in LAYERS.items()
    ]


def _layers(layers: Sequence[LayerAccount]) -> Component:
    if not layers:
        return note("no account of its layers: the artifact is gone")
    rows = [
        (
            each["name"], each["operator"], " x ".join(map(str, each["weight"])), each["asked"], each["ran"],
            each["reason"], f"{each['macs']:,}",
        )
        for each in layers
    ]  # fmt: skip
    heads = ("layer", "operator", "weights", "asked", "ran", "why they differ", "multiplications")
    return table(heads, rows, f"{len(layers)} layers: what was asked of each and what ran", numeric=[6])


def _profile(snapshot: Snapshot, number: int) -> list[Component]:
    """Return what each layer of a stack takes on its devices, and how it compares with its base, as far as known."""
    why = snapshot.opened.why(number)
    found: list[Component] = [html.P(why)] if why else []
    profiles = snapshot.opened.profiles(number)
    if not profiles:
        return [*found, html.P(["not profiled: ", html.Code(f"dlas profile {number}")], className="muted")]
    return found + [_rows(profile) for profile in profiles.values()]


def _rows(profile: Profile) -> Component:
    heads = ("layer", "ran", "µs", "share", "GFLOP/s", "bound by")
    rows = [
        (
            row.name,
            row.ran or row.operator,
            f"{row.us.value:.1f}",
            readable.share(row.share),
            f"{row.gflop_s:.1f}" if row.gflop_s else "",
            row.bounds.by(row.us.value),
        )
        for row in profile.rows
    ]
    whole = f"{profile.layers_ms.value:.3f} of {profile.network_ms.value:.3f} ms on {profile.device}"
    return table(heads, rows, f"{len(rows)} programs: {whole}", numeric=[2, 3, 4])


def _history(snapshot: Snapshot, number: int) -> list[Component]:
    known = history_of(snapshot.opened, number)
    ran: list[tuple[str, Any]] = []
    if known.end is not None:
        ran = [("ended", moment(known.end.finished)), ("took", duration(known.end.seconds))]
    found: list[Component] = [facts(ran)]
    for device, sessions in known.sessions.items():
        rows = [(moment(each.taken), f"{each.median_ms:.3f}", each.disturbed or "quiet") for each in sessions]
        heads = ("session", "median (ms)", "how it was")
        caption = f"{len(sessions)} sessions on {device}"
        found.append(table(heads, rows, caption, numeric=[1]) if rows else note(f"no session on {device} on record"))
    return found


def _failure(trial: Trial) -> Component:
    row = trial.row
    said = f"{row['failed_stage']}: {row['failure']}" if row["state"] == "failed" else str(row["failure"])
    log = [html.Details([html.Summary("Log"), html.Pre(trial.log)], open=True)] if trial.log else []
    return html.Div([html.P(said), *log], className="fault")
