"""A menu of stacks → a table for the terminal, one line a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from explorer.core.configuration import AXES
from explorer.core.measurement.metric import ACCURACY
from explorer.results import readable

if TYPE_CHECKING:
    from explorer.results.answers.menu import Entry
    from explorer.results.trials.stack import Stack

UNKNOWN = "-"  # no uncompressed trial is on record


def menu_table(entries: Sequence[Entry]) -> RenderableType:
    """Return one line for each device and budget; below the table stand the choices that all stacks share."""
    stacks = [entry.stack for entry in entries if entry.stack]
    if not entries:
        return "no trial is complete yet"
    choices = {axis: {c for stack in stacks if (c := stack.choices[axis]) is not None} for axis in AXES}
    varying = [axis for axis in AXES if axis != "device" and len(choices[axis]) > 1]
    metric = stacks[0].metric if stacks else ACCURACY
    heads = ("trial", *varying, metric.name, "test", "latency (ms)", "95 % interval", "size")
    bends = any(entry.knee for entry in entries)
    beside = ("points lost" if metric.is_accuracy else f"{metric.name} lost", "times as fast")
    table = readable.table("device", "budget (ms)", *heads, *beside, *[""] * bends)
    for entry in entries:
        named = readable.device(entry.device, entry.stack is not None and entry.stack.emulated)
        cells = _cells(entry.stack, varying) if entry.stack else ["no stack keeps it"]
        beside_base = (_lost(entry), _faster(entry)) if entry.stack else ()
        table.add_row(named, f"{entry.budget_ms:.3f}", *cells, *beside_base, *["knee" if entry.knee else ""] * bends)
    shared = [f"{axis} {readable.choice(choice)}" for axis in AXES if axis not in varying for choice in choices[axis]]
    below = [f"all: {', '.join(each for each in shared if not each.startswith('device '))}"] * bool(stacks)
    below += [readable.DISTURBED] * any(stack.disturbed for stack in stacks)
    below += [readable.EMULATED] * any(stack.emulated for stack in stacks)
    return Group(table, *below)


def _cells(stack: Stack, varying: Sequence[str]) -> list[str]:
    latency = stack.latency
    return [
        str(stack.number),
        *(readable.choice(stack.choices[axis]) for axis in varying),
        stack.metric.text(stack.accuracy),
        stack.metric.text(stack.test_accuracy),
        f"{latency.value:.3f}{' disturbed' if stack.disturbed else ''}",
        f"{latency.low:.3f} to {latency.high:.3f}",
        readable.size(stack.size_bytes),
    ]


def _lost(entry: Entry) -> str:
    """Return the points of accuracy, or what of another metric, a stack loses against the uncompressed network."""
    if entry.drop is None or entry.stack is None:
        return UNKNOWN
    return f"{100 * entry.drop.drop:.2f}" if entry.stack.metric.is_accuracy else f"{entry.drop.drop:.4g}"


def _faster(entry: Entry) -> str:
    """Return how many times a stack is as fast as the uncompressed network, on the device where it gains least."""
    return f"{min(each.factor.value for each in entry.speed_ups):.2f}" if entry.speed_ups else UNKNOWN
