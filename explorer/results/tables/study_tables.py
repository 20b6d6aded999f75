"""Answers about a study → tables and words for the terminal."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from explorer.core.configuration import AXES
from explorer.core.measurement import sessions
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY, SIZE, Quantity
from explorer.results import readable
from explorer.results.emulated import emulated_devices, without_emulated
from explorer.results.measured_on import warnings
from explorer.results.tables.device_tables import measured_on_text
from explorer.results.trials.account import coverage_of
from explorer.results.trials.stack import stack_of

if TYPE_CHECKING:
    import pandas as pd

    from explorer.results.open_study import OpenStudy
    from explorer.results.progress.status import Ranks, Status
    from explorer.results.trials.account import Coverage, LayerAccount
    from explorer.results.trials.ranking import RankedLayer
    from explorer.results.trials.trial import Trial
    from explorer.search.search import Summary
    from explorer.search.trial_queue import Unfinished
    from explorer.space.limits import Limit

COSTS = ("parameters", "weights", "nonzeros", "weight_bytes", "channels", "macs")
MOST_NUMBERS = 6  # of failed trials, in one line
HALF = 0.5  # of a network's multiply-accumulates; a user is told where fewer run as asked


def front_table(front: pd.DataFrame, objectives: Collection[str] = ()) -> RenderableType:
    """Return one line per stack; below the table stand the choices that all stacks share.

    Parameters
    ----------
    front
        Rows of complete trials. The columns ``front_probability`` and ``knee``, where there are such, are shown.
    objectives
        Columns that are shown, too.
    """
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
    marked = emulated_devices(front)
    on_each = [f"(ms) on {readable.device(str(each.device), each.device in marked)}" for each in several]
    metric = stacks[0].metric
    shown = {str(quantity) for quantity in (metric.quantity, LATENCY, SIZE, *several)}
    others = [Quantity.parse(name) for name in objectives if name not in shown]
    disturbed = any(stack.disturbed for stack in stacks)
    bends = "knee" in front.columns and bool(front["knee"].any())
    judged = ["on front"] * ("front_probability" in front.columns) + [""] * bends + ["measured"] * disturbed
    named = [str(quantity) for quantity in others]
    heads = ("trial", metric.name, "test", "latency (ms)", "95 % interval", *on_each, "size", *named, *judged)
    table = readable.table(*varying, *heads)
    for stack, (_, row) in zip(stacks, front.iterrows(), strict=True):
        chosen = [readable.choice(stack.choices[axis]) for axis in varying]
        chosen[varying.index("device")] = readable.device(chosen[varying.index("device")], stack.emulated)
        interval = f"{stack.latency.low:.3f} to {stack.latency.high:.3f}"
        accuracies = (metric.text(stack.accuracy), metric.text(stack.test_accuracy))
        latencies, besides = (
            [readable.quantity(each.name, row[str(each)]) for each in quantities] for quantities in (several, others)
        )
        size = readable.size(stack.size_bytes)
        results = (*accuracies, f"{stack.latency_ms:.3f}", interval, *latencies, size, *besides)
        likely = [f"{row['front_probability']:.0%}".replace("%", " %")] if "front_probability" in row else []
        knee = [("knee" if bends and row["knee"] else "")] * bends
        quiet = [("disturbed" if stack.disturbed else "")] * disturbed
        table.add_row(*chosen, str(stack.number), *results, *likely, *knee, *quiet)
    shared = [f"{axis} {readable.choice(choice)}" for axis in AXES if axis not in varying for choice in choices[axis]]
    emulated = any(stack.emulated for stack in stacks)
    below = [f"all: {', '.join(shared)}"] * bool(shared)
    below += [readable.DISTURBED] * disturbed + [readable.EMULATED] * emulated
    return Group(table, *below) if below else table


def fronts_table(
    front: pd.DataFrame, nearest: pd.DataFrame, limits: Sequence[Limit], objectives: Collection[str] = ()
) -> RenderableType:
    """Return the fronts, with their ties, and, for devices where no stack keeps all `limits`, the `nearest` stacks."""
    quantities = [*objectives, *dict.fromkeys(limit.quantity for limit in limits if limit.quantity not in objectives)]
    if nearest.empty:
        return front_table(front, quantities)
    devices = " or ".join(nearest["device"])
    bounds = ", ".join(map(str, limits))
    missed = (
        readable.headed("No stack keeps the limits", f" on {devices} ({bounds}). The nearest:"),
        front_table(nearest, quantities),
    )
    return Group(front_table(front, quantities), *missed) if len(front) else Group(*missed)


def latencies_table(rows: pd.DataFrame) -> RenderableType:
    """Return the latency of each trial, one a line."""
    table = readable.table("trial", "device", "latency (ms)", "95 % interval", "sessions", "disturbed")
    for _, each in rows.iterrows():
        row = {str(name): value for name, value in each.items()}
        latency = LATENCY.interval(row)
        disturbed = row.get(sessions.DISTURBED)
        table.add_row(
            str(row["number"]),
            readable.device(str(row["device"]), row.get(sessions.EMULATED) is True),
            f"{latency.value:.3f}",
            f"{latency.low:.3f} to {latency.high:.3f}",
            f"{row[sessions.SESSIONS]:.0f}",
            disturbed if isinstance(disturbed, str) else "",
        )
    return table


def summary_text(summary: Summary, study: OpenStudy, page: Path, in_workspace: str) -> Iterator[RenderableType]:
    """Yield the fronts of a study whose run has ended, how its trials ended, and what to type next.

    Parameters
    ----------
    page
        The study's figure.
    in_workspace
        The option by which commands find the workspace, such as ``" --workspace there"``.
    """
    front = study.front()
    yield fronts_table(study.front_with_ties(), study.nearest(), study.limits, study.objectives)
    yield from warnings(study.devices)
    failed = f", {summary.failed} failed" if summary.failed else ""
    skipped = f", {summary.skipped} not trained" if summary.skipped else ""
    yield f"{summary.ended} trials{failed}{skipped}; the fronts as a page: {page}"
    yield from _uncovered(study, front)
    if summary.exhausted:
        yield "every configuration of the space has been tried"
    yield f"next: {_next_command(front)}{in_workspace}"


def unfinished_text(summary: Summary) -> Iterator[str]:
    """Yield which trials a run has left to the next one, and why: a line per stage and kind of failure."""
    groups: dict[tuple[str, str], list[Unfinished]] = {}
    for each in sorted(summary.unfinished, key=lambda unfinished: unfinished.number):
        groups.setdefault((each.stage, each.kind), []).append(each)
    if not groups:
        return
    several = len(summary.unfinished) > 1
    yield (
        f"{len(summary.unfinished)} trial{'s are' if several else ' is'} unfinished, since what surrounds "
        f"{'their' if several else 'its'} stages failed; the same command tries {'them' if several else 'it'} again"
    )
    for (stage, kind), trials in groups.items():
        numbers = ", ".join(str(each.number) for each in trials)
        yield f"  {stage} ({kind}) of {numbers}: {trials[0].message}"


def _uncovered(study: OpenStudy, front: pd.DataFrame) -> list[str]:
    """Return a sentence if less than half of the network of some stack on the front runs as asked, the least covered.

    Networks whose account is gone tell nothing.
    """
    shares = [(covered.as_asked.macs, number, covered) for number, covered in study.coverage(front).items()]
    if not shares or (least := min(shares, key=lambda each: each[:2]))[0] >= HALF:
        return []
    share, number, covered = least
    others = {"fell back": covered.not_as_asked.macs, "there is none to ask for": covered.nothing_asked.macs}
    why = ", ".join(f"{text}: {readable.share(part)}" for text, part in others.items() if part)
    work = f"{readable.share(share)} of the multiply-accumulates of trial {number}"
    return [f"only {work} run with the algorithm that was asked for ({why}); dlas show {number} tells layer by layer"]


def _next_command(front: pd.DataFrame) -> str:
    """Return what to type after a run: the best stack within the latency of the front's middle, or what went wrong."""
    if front.empty:
        return "dlas status"
    real = without_emulated(front, emulated_devices(front))
    asked = front if real.empty else real
    middle = stack_of(asked.sort_values(str(LATENCY)).iloc[len(asked) // 2])
    return f"dlas best --device {middle.choices['device']} --latency-ms {middle.latency.high:.2g}"


def trial_text(trial: Trial) -> Iterator[RenderableType]:
    """Yield what is on record of a trial one value a line, what its network costs, its layers and its log."""
    table = Table.grid(padding=(0, 2))
    for column, value in trial.row.items():
        if value is not None:
            table.add_row(Text(column, "cyan"), f"{value:,}" if isinstance(value, int) else str(value))
    yield table
    yield _costs_table(trial.row)
    yield from measured_on_text(trial.devices)
    if trial.why:
        yield trial.why
    if trial.layers:
        yield layers_table(trial.layers)
    if trial.ranking:
        yield _ranking_table(trial.ranking)
    if covered := coverage_of(trial.layers):
        yield _coverage_table(covered)
    if trial.log:
        yield Text(trial.log)


def _costs_table(row: Mapping[str, object]) -> Table:
    """Return what a trial's network costs, before it was compressed and as it is stored."""
    table = readable.table("", "before", "after", "")
    for quantity in COSTS:
        before, after = row.get(f"{quantity}_before"), row.get(quantity)
        if isinstance(before, int | float) and isinstance(after, int | float) and before:
            table.add_row(quantity, f"{before:,}", f"{after:,}", readable.share(after / before))
    return table


def _ranking_table(ranking: Sequence[RankedLayer]) -> Table:
    """Return the harm of 8 bits in each layer and the time they save, those first that lose least for their time."""
    table = readable.table("layer", "output over its change (dB)", "float32 (µs)", "int8 (µs)", "is in")
    for row in ranking:
        times = ("-" if each is None else f"{each:,.1f}" for each in (row["float32_us"], row["int8_us"]))
        decibels = f"{-10 * math.log10(row['harm']):.1f}" if row["harm"] > 0 else "unchanged"
        table.add_row(row["layer"], decibels, *times, row["dtype"])
    return table


def _coverage_table(covered: Coverage) -> Table:
    """Return what the stack's choices apply to in a network."""
    table = readable.table("coverage", "of MACs", "of weights")
    rows = {
        "as asked": covered.as_asked,
        "not as asked": covered.not_as_asked,
        "no algorithm to ask for": covered.nothing_asked,
        "narrowed": covered.narrowed,
        "pruned": covered.pruned,
    }
    for name, share in rows.items():
        table.add_row(name, readable.share(share.macs), readable.share(share.weights))
    return table


def layers_table(layers: Sequence[LayerAccount]) -> Table:
    """Return a compiled network's account, one layer a line."""
    # The times of all candidates are shown where an algorithm selected by measuring.
    measured = [_fastest_first(layer.get("measured", {})) for layer in layers]
    table = readable.table("layer", "operator", "input", "weight", "stored", "MACs", "asked", "ran", "remarks")
    if any(measured):
        table.add_column("candidates (µs)")
    for layer, times in zip(layers, measured, strict=True):
        shapes = ("x".join(map(str, shape)) for shape in (layer["input"], layer["weight"]))
        costs = readable.size(layer.get("stored_bytes", 0)), f"{layer['macs']:,}"
        texts = (layer["name"], layer["operator"], *shapes, *costs, layer["asked"], layer["ran"])
        # Networks that were built by an earlier version have no notes.
        remarks = "; ".join(filter(None, (layer["reason"], layer.get("note", ""))))
        table.add_row(*texts, remarks, *([times] if any(measured) else ()))
    return table


def status_text(status: Status) -> RenderableType:
    """Return how far a study is: its trials, failures by cause, what stages have cost and what tuning changes."""
    parts: list[RenderableType] = [readable.headed(f"study {status.study}", f": {len(status.frame)} trials finished")]
    parts.append(_trials_table(status.frame, with_skipped=len(status.skipped) > 0))
    parts += measured_on_text(status.devices)
    for title, causes in (("failed in", status.failures), ("skipped before", status.skipped)):
        if len(causes):
            parts.append(_causes_table(title, causes))
    if len(status.executions):
        parts.append(_executions_table(status.executions))
    if status.ranks:
        parts.append(_ranks_table(status.ranks))
    return Group(*parts)


def _trials_table(frame: pd.DataFrame, with_skipped: bool) -> Table:
    """Return the numbers of trials on each device by how they ended, and the best that they reached."""
    states = ("complete", "failed", *(["skipped"] if with_skipped else []))
    metric = Metric.of_frame(frame)
    table = readable.table("device", *states, f"best {metric.name}", "fastest (ms)")
    emulated = emulated_devices(frame)
    for device, rows in frame.groupby("device"):
        complete = rows[rows["state"] == "complete"]
        best, fastest = "", ""
        if len(complete):
            reached = complete[metric.name]
            best = metric.text(reached.max() if metric.maximised else reached.min())
            fastest = f"{complete[str(LATENCY)].min():.3f}"
        named = readable.device(str(device), str(device) in emulated)
        table.add_row(named, *(str((rows["state"] == state).sum()) for state in states), best, fastest)
    return table


def _causes_table(title: str, causes: pd.DataFrame) -> Table:
    """Return why trials have no result, one stage and kind of failure a line."""
    table = readable.table(title, "cause", "trials", "numbers", "first message")
    for row in causes.to_dict("records"):
        numbers = ", ".join(map(str, row["numbers"][:MOST_NUMBERS]))
        more = ", …" if len(row["numbers"]) > MOST_NUMBERS else ""
        cause = (row["failed_stage"], row["failure_kind"], str(row["trials"]), numbers + more)
        table.add_row(*cause, row["failure"])
    return table


def _executions_table(executions: pd.DataFrame) -> Table:
    table = readable.table("stage", "executions", "failed", "seconds")
    for stage, rows in executions.groupby("stage", sort=False):
        table.add_row(str(stage), str(len(rows)), str(rows["failure"].notna().sum()), f"{rows['seconds'].sum():.1f}")
    return table


def _ranks_table(ranks: Sequence[Ranks]) -> Table:
    """Return what larger tuning budgets change in the order of the stacks, one device and pair of budgets a line."""
    heads = ("stacks judged with both", "pairs apart", "inverted", "fastest before", "after")
    table = readable.table("device", "budget", *heads)
    for each in ranks:
        share = f"{each.inverted} ({readable.share(each.inverted / each.pairs)})" if each.pairs else "0"
        after = f"trial {each.tuned_winner}" + ("" if each.winner_changes else ", the same stack")
        budget = f"{each.axis} {each.smaller} to {each.larger}"
        counts = str(each.stacks), str(each.pairs), share
        table.add_row(each.device, budget, *counts, f"trial {each.winner}", after)
    return table


def _fastest_first(measured: Mapping[str, float]) -> str:
    """Return candidates and their seconds as names and microseconds."""
    return ", ".join(f"{name} {1e6 * measured[name]:.3g}" for name in sorted(measured, key=measured.__getitem__))
