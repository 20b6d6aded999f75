"""A snapshot, a device and a budget → the answer of ``dlas best`` beside the front, and the budgets to choose from."""

from __future__ import annotations

import math
import shlex

from dash import html
from dash.development.base_component import Component

from explorer.dashboard.state import Snapshot
from explorer.dashboard.views.elements import Shown, facts, note, open_button
from explorer.results import readable
from explorer.results.answers.best_stack import Best, Stack
from explorer.results.figures.layout import ON_FRONT

DIGITS = 3  # of a budget that the slider gives
STEP = 0.001  # of the slider, in decimal logarithms of ms
NO_BOUNDS = 0.0, 1.0, 0.5  # of a slider, as long as there is no latency


def bounds(snapshot: Snapshot, device: str | None) -> tuple[float, float, float] | None:
    """Return the lowest and the highest budget of a slider and one between them, as decimal logarithms of ms.

    The highest is that from which on a larger one changes no answer.
    """
    rows = snapshot.on(device)
    if rows.empty:
        return None
    front = rows[rows["standing"] == ON_FRONT]["latency_ms"]
    if front.empty:  # no stack keeps the limits
        front = rows["latency_ms"]
    low, high = math.log10(float(front.min())), math.log10(float(front.max()))
    room = max(0.02, 0.05 * (high - low))
    return low - room, high + room, (low + high) / 2


def budget(place: float) -> float:
    """Return the budget in ms at a place of the slider, rounded as people would say it."""
    return float(f"{10.0**place:.{DIGITS}g}")


def place(budget_ms: float, low: float, high: float) -> float:
    """Return where a budget lies on the slider, at an end where it lies beyond it."""
    return min(high, max(low, math.log10(budget_ms)))


def answer(snapshot: Snapshot, device: str, budget_ms: float, min_accuracy: float | None) -> list[Component]:
    """Return the answer in words, with the whole stack; see `explorer.results.open_study.OpenStudy.best`."""
    own = not snapshot.opened.metric.is_accuracy
    asked = {"metric_bound": min_accuracy} if own else {"min_accuracy": min_accuracy}
    best = snapshot.opened.best(budget_ms, device, emulated=device in snapshot.emulated, **asked)
    shown = best.stack or best.nearest
    head = _head(best)
    said = [html.Code(_command(snapshot, best))]
    if shown is None:
        return [head, note(f"{best.considered} stacks measured, {best.failed} failed."), *said]
    return [head, *_stack(shown), *_notes(best), html.P(open_button(shown.number, f"open trial {shown.number}")), *said]


def _head(best: Best) -> html.H3:
    goals = best.goals
    if best.stack is not None:
        superlative = "most accurate" if goals.metric.is_accuracy else f"best {goals.metric.name}"
        return html.H3(f"The {superlative} stack within {goals.budget_ms:g} ms")
    text = f"No stack fits {goals.budget_ms:g} ms"
    if goals.least is not None:
        text += f" with at {'least' if goals.metric.maximised else 'most'} {goals.metric.text(goals.least)}"
    return html.H3(text + ("" if best.nearest is None else ". The nearest:"))


def _stack(stack: Stack) -> list[Component]:
    latency = stack.latency
    results: list[tuple[str, Shown | list[Shown]]] = [
        (stack.metric.name, html.Strong(stack.metric.text(stack.accuracy))),
        ("latency", [html.Strong(f"{latency.value:.3f} ms"), f" ({latency.low:.3f} to {latency.high:.3f})"]),
        ("size", readable.size(stack.size_bytes)),
    ]
    choices: list[tuple[str, Shown | list[Shown]]] = [
        (layer, ", ".join(f"{axis} {_choice(choice)}" for axis, choice in own.items() if choice is not None))
        for layer, own in stack.layers.items()
    ]
    return [facts(results), facts(choices)]


def _choice(choice: object) -> str:
    return f"{choice:g}" if isinstance(choice, float) else str(choice)


def _notes(best: Best) -> list[Component]:
    """Return what qualifies the answer: how surely it keeps the budget, and what the next better accuracy costs."""
    said, metric = [], best.goals.metric
    if best.confidence is not None and best.stack is not None:
        on_each = " on every device" if best.stack.on_each else ""
        said.append(f"It keeps the budget{on_each} with {readable.probability(best.confidence)}.")
        if best.why:
            said.append(f"{best.why[0].upper()}{best.why[1:]}.")
        if best.stack.disturbed:
            said.append(f"Its latency is disturbed: {best.stack.disturbed}.")
        if best.stack.emulated:
            said.append(readable.EMULATED)
        if best.next_better is None or best.next_costs_ms is None:
            better = "is more accurate" if metric.is_accuracy else f"has a better {metric.name}"
            said.append(f"No measured stack {better}.")
        else:
            more = metric.difference(metric.gain(best.next_better.accuracy, best.stack.accuracy))
            more += " more" if metric.is_accuracy else " better"
            said.append(f"The next better {metric.name}, {more}, costs {best.next_costs_ms:.3f} ms more: ")
    lines: list[Component] = [html.P(text) for text in said]
    if lines and best.next_better is not None:
        lines[-1] = html.P([said[-1], open_button(best.next_better.number, f"trial {best.next_better.number}"), "."])
    return lines


def _command(snapshot: Snapshot, best: Best) -> str:
    """Return the command that gives the same answer."""
    goals = best.goals
    words = ["dlas", "best", "--latency-ms", f"{goals.budget_ms:g}", "--device", best.device]
    words += ["--min-accuracy", f"{goals.min_accuracy:g}"] if goals.min_accuracy is not None else []
    words += ["--metric-bound", f"{goals.metric_bound:g}"] if goals.metric_bound is not None else []
    words += ["--emulated"] if best.device in snapshot.emulated else []
    return shlex.join([*words, "--study", snapshot.name])
