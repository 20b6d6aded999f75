"""The best stack for some goals → words and a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from explorer.core.configuration import AXES
from explorer.core.measurement.metric import Metric
from explorer.results import readable

if TYPE_CHECKING:
    from explorer.results.answers.best_stack import Best
    from explorer.results.answers.goals import Goals
    from explorer.results.trials.stack import Stack


def best_text(best: Best) -> RenderableType:
    """Return the answer in words, with the whole stack."""
    wanted = f"{_wanted(best.goals)} on {best.device}" + _with(best.goals)
    tried = f"{best.considered} stacks measured, {best.failed} failed"
    if best.without_base:
        tried += f", {best.without_base} left out: no trial of their uncompressed network is on record"
    if best.stack is None:
        if best.nearest is None:
            return f"No stack is known{wanted} ({tried})."
        nearest = readable.headed("No stack fits", f"{wanted} ({tried}). The nearest:")
        return Group(nearest, stack_table(best.nearest), *_beside_the_base(best))
    superlative = _best_in(best.goals.metric) if best.goals.bounds_latency else "fastest"
    head = readable.headed(f"The {superlative} stack", f"{wanted} ({tried}):")
    lines: list[RenderableType] = [head, stack_table(best.stack)]
    lines += _beside_the_base(best)
    if best.confidence is not None:
        on_each = " on every device" if best.stack.on_each else ""
        lines.append(f"It {_kept(best.goals)}{on_each} with {readable.probability(best.confidence)}.")
    lines += [f"{best.why[0].upper()}{best.why[1:]}."] if best.why else []
    lines += map(readable.noted, _notes(best, best.stack))
    lines.append(_next_step(best.stack, best.next_better, best.goals))
    return Group(*lines)


def _wanted(goals: Goals) -> str:
    """Return the budget in words, with a space before them; nothing where there is none."""
    return "" if goals.budget_ms is None else f" within {goals.budget_ms:g} ms"


def _with(goals: Goals) -> str:
    """Return all goals but the budget in words."""
    asked = []
    metric = goals.metric
    if goals.least is not None:
        bound = "at least" if metric.maximised else "at most"
        asked.append(f"with {bound} {metric.text(goals.least)} {metric.name}")
    if goals.max_drop is not None and metric.is_accuracy:
        asked.append(f"at most {100 * goals.max_drop:g} points less accurate than the uncompressed network")
    elif goals.max_drop is not None:
        asked.append(f"with a {metric.name} at most {goals.max_drop:g} worse than the uncompressed network's")
    if goals.min_speed_up is not None:
        asked.append(f"at least {goals.min_speed_up:g} times as fast as the uncompressed network")
    text = "".join(f" {'and ' * (index > 0)}{each}" for index, each in enumerate(asked))
    if goals.min_confidence is not None:
        text += f", {'kept' if goals.min_speed_up is None else 'reached'} with a probability of at least "
        text += f"{100 * goals.min_confidence:g} %"
    return text


def _kept(goals: Goals) -> str:
    """Return what a stack does that is fast enough."""
    if goals.min_speed_up is None:
        return "keeps the budget"
    return "reaches the speed-up" + (" and keeps the budget" if goals.budget_ms is not None else "")


def _beside_the_base(best: Best) -> Iterator[RenderableType]:
    """Yield what the stack loses and gains against the uncompressed network, and which trials tell so."""
    if best.drop is not None:
        base, reached, drop = best.drop
        metric = best.goals.metric
        side = "below" if (drop >= 0) == metric.maximised else "above"
        less = f"{metric.difference(abs(drop))} {side}"
        yield f"Its {metric.name} lies {less} the uncompressed network's {metric.text(reached)}: trial {base}."
    for each in best.speed_ups:
        on = f" on {each.device}" if len(best.speed_ups) > 1 else ""
        value, low, high = each.factor
        yield Text.assemble(
            "It is ",
            (f"{value:.2f}", "bold"),
            f" ({low:.2f} to {high:.2f}) times as fast{on} as the uncompressed network, whose fastest stack takes "
            f"{each.base_latency.value:.3f} ms: trial {each.base}.",
        )


def _notes(best: Best, stack: Stack) -> Iterator[str]:
    """Yield what to mind of an answer."""
    if stack.disturbed:
        yield f"its latency is disturbed: {stack.disturbed}"
    if stack.emulated:
        yield readable.EMULATED
    if best.crosses_budget:
        yield f"the interval of its latency reaches {stack.high_ms:.3f} ms, over the budget"
    least = best.goals.min_speed_up
    if least is not None and any(each.factor.low < least for each in best.speed_ups):
        low = min(each.factor.low for each in best.speed_ups)
        yield f"the interval of its speed-up begins at {low:.2f}, below {least:g}"


def _next_step(stack: Stack, better: Stack | None, goals: Goals) -> str:
    if better is None:
        than_this = "is more accurate" if stack.metric.is_accuracy else f"has a better {stack.metric.name}"
        return f"No measured stack on this device {'that loses no more ' * (goals.max_drop is not None)}{than_this}."
    changes = ", ".join(
        f"{axis} {readable.choice(better.choices[axis])}"
        for axis in AXES
        if better.choices[axis] != stack.choices[axis] and better.choices[axis] is not None
    )
    metric = stack.metric
    gained = metric.difference(metric.gain(better.accuracy, stack.accuracy))
    more = "more accurate" if metric.is_accuracy else f"better in {metric.name}"
    if goals.budget_ms is not None and goals.min_speed_up is None and better.latency_ms <= goals.budget_ms:
        kept = readable.probability(better.keeps(goals.budget_ms))
        return f"One {more} by {gained} keeps the budget with {kept} only: trial {better.number}, with {changes}."
    cost = f"{better.latency_ms - stack.latency_ms:.3f} ms"
    following = "The next more accurate one" if metric.is_accuracy else f"The next one better in {metric.name}"
    return f"{following} costs {cost} for {gained}: trial {better.number}, with {changes}."


def _best_in(metric: Metric) -> str:
    return "most accurate" if metric.is_accuracy else f"best {metric.name}"


def stack_table(stack: Stack) -> Table:
    """Return a stack layer by layer, then what it reaches."""
    table = Table.grid(padding=(0, 2))
    for layer, choices in stack.layers.items():
        text = ", ".join(f"{axis} {readable.choice(choice)}" for axis, choice in choices.items() if choice is not None)
        table.add_row(Text(f"  {layer}", "cyan"), text)
    images = f" ({stack.test_images} images)" if stack.test_images else ""
    metric = stack.metric
    test = "" if stack.test_accuracy is None else f", {metric.text(stack.test_accuracy)} test{images}"
    within = ""
    if ends := stack.accuracy_interval:
        within = f", 95 % interval {metric.text(ends.low)} to {metric.text(ends.high)}"
    table.add_row(f"  {metric.name}", readable.headed(metric.text(stack.accuracy), f" validation{within}{test}"))
    latencies = {f"latency on {readable.device(name, on.emulated)}": on.latency for name, on in stack.on_each.items()}
    for name, latency in (latencies or {readable.device("latency", stack.emulated): stack.latency}).items():
        interval = f"95 % interval {latency.low:.3f} to {latency.high:.3f} ms"
        table.add_row(f"  {name}", readable.headed(f"{latency.value:.3f} ms", f", {interval}"))
    table.add_row("  size", readable.headed(readable.size(stack.size_bytes), ""))
    if stack.placed is not None:
        table.add_row("  as asked", f"{stack.placed} of {stack.convolutions} convolutions")
    trials = {on.number: f"{on.number} on {name}" for name, on in stack.on_each.items()}
    table.add_row("  trial", ", ".join(trials.values()) if len(trials) > 1 else str(stack.number))
    return table
