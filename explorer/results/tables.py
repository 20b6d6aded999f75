"""Frames and answers → tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from explorer.core.configuration import AXES, LAYERS
from explorer.core.quantities import LATENCY, Quantity
from explorer.results.figures import readable_bytes

if TYPE_CHECKING:
    import pandas as pd

    from explorer.line.dry_run import StageCount
    from explorer.results.report import Best, Ranks, Stack
    from explorer.search.planning import Plan
    from explorer.space.axes import Axis
    from explorer.space.devices import Device
    from explorer.space.limits import Limit
    from explorer.space.space import Space

COSTS = ("parameters", "weights", "nonzeros", "weight_bytes", "channels", "macs")
MOST_NUMBERS = 6  # of failed trials, in one line


def front_table(front: pd.DataFrame) -> RenderableType:
    """Return one line per stack; choices that all of them share stand below the table."""
    from explorer.results.report import stack_of

    stacks = [stack_of(row) for _, row in front.iterrows()]
    if not stacks:
        return "no trial is complete yet"
    # An axis that does not exist for some stacks and has one choice for all others tells none apart.
    choices = {axis: {c for stack in stacks if (c := stack.choices[axis]) is not None} for axis in AXES}
    varying = [axis for axis in AXES if axis == "device" or len(choices[axis]) > 1]
    several = [
        quantity
        for name in front.columns
        if (quantity := Quantity.parse(name)).device and quantity.name == LATENCY.name and front[name].notna().any()
    ]
    on_each = [f"(ms) on {escape(str(quantity.device))}" for quantity in several]
    table = _table(*varying, "trial", "accuracy", "test", "latency (ms)", "95 % interval", *on_each, "size")
    for stack, (_, row) in zip(stacks, front.iterrows(), strict=True):
        chosen = (_text(stack.choices[axis]) for axis in varying)
        interval = f"{stack.latency_low_ms:.3f} to {stack.latency_high_ms:.3f}"
        results = (_share(stack.accuracy), _share(stack.test_accuracy), f"{stack.latency_ms:.3f}", interval)
        latencies = ("" if math.isnan(row[str(name)]) else f"{row[str(name)]:.3f}" for name in several)
        table.add_row(*chosen, str(stack.number), *results, *latencies, readable_bytes(stack.size_bytes))
    shared = [f"{axis} {_text(choice)}" for axis in AXES if axis not in varying for choice in choices[axis]]
    return Group(table, f"all: {', '.join(shared)}") if shared else table


def fronts_table(front: pd.DataFrame, nearest: pd.DataFrame, limits: Sequence[Limit]) -> RenderableType:
    """Return the fronts, then of the devices where no stack keeps all `limits` the `nearest`, one line a device."""
    if nearest.empty:
        return front_table(front)
    devices = escape(" or ".join(nearest["device"]))
    bounds = escape(", ".join(map(str, limits)))
    missed = (f"[bold]No stack keeps the limits[/] on {devices} ({bounds}). The nearest:", front_table(nearest))
    return Group(front_table(front), *missed) if len(front) else Group(*missed)


def best_text(best: Best) -> RenderableType:
    """Return the answer in words, with the whole stack."""
    wanted = f"within {best.budget_ms:g} ms on {escape(best.device)}"
    if best.min_accuracy is not None:
        wanted += f" with at least {_share(best.min_accuracy)} accuracy"
    tried = f"{best.considered} stacks measured, {best.failed} failed"
    if best.stack is None:
        if best.nearest is None:
            return f"No stack is known {wanted} ({tried})."
        return Group(f"[bold]No stack fits[/] {wanted} ({tried}). The nearest:", stack_table(best.nearest))
    lines: list[RenderableType] = [f"[bold]The most accurate stack[/] {wanted} ({tried}):", stack_table(best.stack)]
    if best.crosses_budget:
        lines.append(
            f"[yellow]note:[/] the interval of its latency reaches {best.stack.latency_high_ms:.3f} ms, over the budget"
        )
    lines.append(_next_step(best.stack, best.next_better))
    return Group(*lines)


def stack_table(stack: Stack) -> Table:
    """Return a stack layer by layer, then what it reaches."""
    table = Table.grid(padding=(0, 2))
    for layer, choices in stack.layers.items():
        text = ", ".join(f"{axis} {_text(choice)}" for axis, choice in choices.items() if choice is not None)
        table.add_row(f"  [cyan]{escape(layer)}[/]", text)
    images = f" ({stack.test_images} images)" if stack.test_images else ""
    test = "" if stack.test_accuracy is None else f", {_share(stack.test_accuracy)} test{images}"
    interval = f"95 % interval {stack.latency_low_ms:.3f} to {stack.latency_high_ms:.3f} ms"
    within = ""
    if stack.accuracy_low is not None and stack.accuracy_high is not None:
        within = f", 95 % interval {_share(stack.accuracy_low)} to {_share(stack.accuracy_high)}"
    table.add_row("  accuracy", f"[bold]{_share(stack.accuracy)}[/] validation{within}{test}")
    table.add_row("  latency", f"[bold]{stack.latency_ms:.3f} ms[/], {interval}")
    table.add_row("  size", f"[bold]{readable_bytes(stack.size_bytes)}[/]")
    if stack.placed is not None:
        table.add_row("  as asked", f"{stack.placed} of {stack.convolutions} convolutions")
    table.add_row("  trial", str(stack.number))
    return table


def trial_table(row: Mapping[str, Any]) -> Table:
    """Return what is on record of a trial, one value a line."""
    table = Table.grid(padding=(0, 2))
    for key, value in row.items():
        if value is not None:
            table.add_row(f"[cyan]{key}[/]", f"{value:,}" if isinstance(value, int) else escape(str(value)))
    return table


def costs_table(row: Mapping[str, Any]) -> Table:
    """Return what a trial's network costs, before it was compressed and as it is stored."""
    table = _table("", "before", "after", "")
    for quantity in COSTS:
        before, after = row.get(f"{quantity}_before"), row.get(quantity)
        if before and after is not None:
            table.add_row(quantity, f"{before:,}", f"{after:,}", _share(after / before))
    return table


def layers_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """Return a compiled network's account, one layer a line."""
    # Where an algorithm selected by measuring, what it measured is shown.
    measured = [_fastest_first(layer.get("measured", {})) for layer in layers]
    table = _table("layer", "operator", "input", "weight", "stored", "MACs", "asked", "ran", "why not as asked")
    if any(measured):
        table.add_column("candidates (µs)")
    for layer, times in zip(layers, measured, strict=True):
        shapes = ("x".join(map(str, layer[side])) for side in ("input", "weight"))
        costs = readable_bytes(layer.get("stored_bytes", 0)), f"{layer['macs']:,}"
        texts = (layer["name"], layer["operator"], *shapes, *costs, layer["asked"], layer["ran"])
        table.add_row(*map(escape, texts), escape(layer["reason"]), *([times] if any(measured) else ()))
    return table


def status_table(
    study: str, frame: pd.DataFrame, failures: pd.DataFrame, skipped: pd.DataFrame, executions: pd.DataFrame
) -> RenderableType:
    """Return how far a study is: trials per device, failures and skipped trials by cause, and what stages have cost."""
    states = ("complete", "failed", *(["skipped"] if len(skipped) else []))
    trials = _table("device", *states, "best accuracy", "fastest (ms)")
    for device, rows in frame.groupby("device"):
        complete = rows[rows["state"] == "complete"]
        reached = (
            (_share(complete["accuracy"].max()), f"{complete['latency_ms'].min():.3f}") if len(complete) else ("", "")
        )
        trials.add_row(escape(str(device)), *(str((rows["state"] == state).sum()) for state in states), *reached)
    parts: list[RenderableType] = [f"[bold]study {escape(study)}[/]: {len(frame)} trials finished", trials]
    for title, why in (("failed in", failures), ("skipped before", skipped)):
        causes = _table(title, "cause", "trials", "numbers", "first message")
        for row in why.to_dict("records"):
            numbers = ", ".join(map(str, row["numbers"][:MOST_NUMBERS]))
            more = ", …" if len(row["numbers"]) > MOST_NUMBERS else ""
            cause = (row["failed_stage"], row["failure_kind"], str(row["trials"]), numbers + more)
            causes.add_row(*cause, escape(row["failure"]))
        if len(why):
            parts.append(causes)
    stages = _table("stage", "executions", "failed", "seconds")
    for stage, rows in executions.groupby("stage", sort=False):
        stages.add_row(str(stage), str(len(rows)), str(rows["failure"].notna().sum()), f"{rows['seconds'].sum():.1f}")
    return Group(*parts, stages) if len(executions) else Group(*parts)


def ranks_table(ranks: Sequence[Ranks]) -> Table:
    """Return what larger tuning budgets change in the order of the stacks, one device and pair of budgets a line."""
    table = _table("device", "budget", "stacks judged with both", "pairs apart", "inverted", "fastest before", "after")
    for each in ranks:
        share = f"{each.inverted} ({_share(each.inverted / each.pairs)})" if each.pairs else "0"
        after = f"trial {each.tuned_winner}" + ("" if each.winner_changes else ", the same stack")
        budget = f"{each.axis} {each.smaller} to {each.larger}"
        counts = str(each.stacks), str(each.pairs), share
        table.add_row(escape(each.device), budget, *counts, f"trial {each.winner}", after)
    return table


def spaces_table(spaces: list[Space]) -> Table:
    """Return one line per search space."""
    table = _table("space", "size", "sampler", "trials", "devices", "objectives", "file")
    for space in spaces:
        devices = ", ".join(str(choice) for choice in space.axes["device"].choices)
        objectives = ", ".join(space.objectives)
        table.add_row(
            escape(space.name),
            space.size,
            space.sampler,
            str(space.trials),
            escape(devices),
            objectives,
            str(space.path),
        )
    return table


def space_table(space: Space) -> RenderableType:
    """Return the axes of a search space, its size, and which of its devices no study could run on yet."""
    table = _table("layer", "axis", "choices")
    for layer, axes in LAYERS.items():
        for name in axes:
            table.add_row(escape(layer) if name == axes[0] else "", name, _choices(space.axes[name]))
    parts: list[RenderableType] = [f"[bold]{escape(space.name)}[/], {escape(str(space.path))}", table]
    rules = f" under {len(space.constraints)} constraints" if space.constraints else ""
    combinations = math.prod(len(axis.choices) for axis in space.axes.values())
    parts.append(f"{combinations:,} combinations, of which valid{rules}: {space.size}")
    if space.limits:
        parts.append(f"limits: {escape(', '.join(map(str, space.limits)))}")
    if space.missing_devices:
        names = escape(", ".join(space.missing_devices))
        parts.append(
            f"[yellow]note:[/] no entry in {escape(str(space.devices_file))}, which a run needs, and counted with a "
            f"target of its own each: {names}"
        )
    return Group(*parts)


def stages_table(stages: Sequence[StageCount]) -> RenderableType:
    """Return how often each stage is executed by every configuration alone and by all together, one stage a line."""
    table = _table("stage", "each alone", "all together")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [(each.stage, each.alone, each.distinct, each.at_most) for each in stages]
    totals = (sum(each.alone for each in stages), sum(each.distinct for each in stages))
    for stage, alone, distinct, at_most in [*rows, ("all", *totals, any(each.at_most for each in stages))]:
        table.add_row(stage, f"{alone:,}", f"{'at most ' if at_most else ''}{distinct:,}")
    return Group("executions of stages, if nothing fails:", table)


def plan_table(plan: Plan) -> RenderableType:
    """Return what a grid has to execute and how long that takes, one stage a line."""
    left = f"{plan.configurations:,} configurations, {plan.on_record:,} of them on record"
    if plan.on_record == plan.configurations:
        return f"{left}: nothing is left"
    table = _table("stage", "each alone", "left", "alone (min)", "left (min)")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in plan.stages:
        times = (_minutes(each.seconds_alone), _minutes(each.seconds_left))
        table.add_row(each.stage, f"{each.alone:,}", f"{'at most ' if each.at_most else ''}{each.left:,}", *times)
    lines: list[RenderableType] = [f"{left}; executions of stages, if nothing fails:", table]
    if plan.seconds:
        saved = "" if plan.share is None else f"; sharing leaves {_share(plan.share)} of what each alone would take"
        lines.append(f"about {_minutes(plan.seconds)} minutes by what is on record{saved}")
    if plan.unknown:
        lines.append(f"no time is on record of {', '.join(plan.unknown)}")
    return Group(*lines)


def _minutes(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds / 60:,.1f}"


def _choices(axis: Axis) -> str:
    """Return an axis' choices; of numbers that were written as a range its bounds and step."""
    if axis.range is None:
        return ", ".join(map(_text, axis.choices))
    kind = f" step {axis.range.step:g}" if axis.range.step else " continuous"
    return f"{axis.range}{kind}{', logarithmic' if axis.range.log else ''}"


def devices_table(devices: list[Device]) -> Table:
    """Return one line per device."""
    table = _table("device", "tracker", "key", "target", "cores", "description")
    for device in devices:
        target = device.target if isinstance(device.target, str) else _target(device.target)
        cores = "all" if device.cores is None else ", ".join(map(str, device.cores))
        table.add_row(*map(escape, (device.name, device.tracker, device.key, target, cores, device.description)))
    return table


def _fastest_first(measured: Mapping[str, float]) -> str:
    """Return candidates and their seconds as names and microseconds."""
    return ", ".join(f"{name} {1e6 * measured[name]:.3g}" for name in sorted(measured, key=measured.__getitem__))


def _next_step(stack: Stack, better: Stack | None) -> str:
    if better is None:
        return "No measured stack on this device is more accurate."
    changes = ", ".join(
        f"{axis} {_text(better.choices[axis])}"
        for axis in AXES
        if better.choices[axis] != stack.choices[axis] and better.choices[axis] is not None
    )
    gained = f"{100 * (better.accuracy - stack.accuracy):.2f} points"
    cost = f"{better.latency_ms - stack.latency_ms:.3f} ms"
    return f"The next more accurate one costs {cost} for {gained}: trial {better.number}, with {changes}."


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column)
    return table


def _target(target: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in target.items() if not isinstance(value, dict))


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def _text(choice: Any) -> str:
    if choice is None:
        return "-"
    return escape(f"{choice:g}" if isinstance(choice, float) else str(choice))
