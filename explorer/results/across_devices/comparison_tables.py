"""A comparison across devices → tables and words for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY
from explorer.results import export, readable
from explorer.results.across_devices.comparison import TIED
from explorer.results.across_devices.same_stack import OTHER_AXES

if TYPE_CHECKING:
    from rich.table import Table

    from explorer.results.across_devices.comparison import Chosen, Comparison

Row = Mapping[str, Any]  # of `Comparison.rows`
DASH = "-"


def comparison_text(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield each front with what its stacks cost elsewhere, what all stacks share, and the choices that change."""
    rows = export.rows(comparison.rows)
    named = {device: readable.device(device, device in comparison.emulated) for device in comparison.devices}
    chosen = {axis: {row[axis] for row in rows} - {None} for axis in OTHER_AXES}
    varying = [axis for axis in OTHER_AXES if len(chosen[axis]) > 1]
    for device in comparison.fronts:
        on_front = [row for row in rows if row["front_of"] == device]
        if on_front:
            yield readable.headed(f"The front of {named[device]}", ", and its stacks on the other devices:")
            yield _front_table(on_front, varying, named, comparison.metric)
        else:
            yield f"No stack is on the front of {named[device]}."
    shared = [f"{axis} {readable.choice(each)}" for axis in OTHER_AXES if axis not in varying for each in chosen[axis]]
    if shared:
        yield f"all: {', '.join(shared)}"
    if any(row["latency_disturbed"] for row in rows):
        yield readable.DISTURBED
    if comparison.emulated:
        yield readable.EMULATED
    if comparison.choices:
        head = "Choices that change with the device"
        yield readable.headed(head, ", and how many stacks of each front have them:")
        yield _choices_table(comparison.choices, named)
    elif rows:
        yield "On every axis the fronts of all devices have the same choices."


def _front_table(rows: list[dict[str, Any]], varying: list[str], shown: Mapping[str, str], metric: Metric) -> Table:
    """Return one line for each stack on the front of one device and each other device.

    Parameters
    ----------
    shown
        Device → its name, marked if it is emulated.
    """
    accuracies = any(_differs(row, home, metric) for home, there in _by_stack(rows) for row in there)
    heads = ("trial", metric.name, "latency (ms)", "95 % interval")
    named = ("on", "trial", *[metric.name] * accuracies, "latency (ms)", "95 % interval")
    disturbed = any(row["latency_disturbed"] for row in rows)
    judged = ("front there", "times the fastest there", *["measured"] * disturbed)
    table = readable.table(*varying, *heads, *named, *judged)
    for home, there in _by_stack(rows):
        stack = [*(readable.choice(home[axis]) for axis in varying), *_measured(home, metric)]
        for row in there:
            marks = [_mark(home, row)] * disturbed
            table.add_row(
                *stack, shown[row["device"]], *_measured(row, metric if accuracies else None), *_judged(row), *marks
            )
            stack = [""] * len(stack)
    return table


def _by_stack(rows: list[dict[str, Any]]) -> Iterator[tuple[Row, list[dict[str, Any]]]]:
    """Yield each stack's row on the front's device, and its rows on the others."""
    for stack in dict.fromkeys(row["stack"] for row in rows):
        home, *there = (row for row in rows if row["stack"] == stack)
        yield home, there


def _differs(row: Row, home: Row, metric: Metric) -> bool:
    reached = row[metric.name]
    return reached is not None and reached != home[metric.name]


def _measured(row: Row, metric: Metric | None) -> list[str]:
    """Return trial, metric if asked for, latency and interval of a stack on one device; dashes for what it has not."""
    number = DASH if row["number"] is None else str(row["number"])
    if row["state"] != "complete":
        return [number, *[DASH] * (2 if metric is None else 3)]
    latency, low, high = (row[column] for column in LATENCY.columns)
    reached = [] if metric is None else [metric.text(row[metric.name])]
    return [number, *reached, f"{latency:.3f}", DASH if low is None else f"{low:.3f} to {high:.3f}"]


def _judged(row: Row) -> tuple[str, str]:
    """Return how a stack stands to the front of a device, and its factor to the fastest one there."""
    if row["state"] != "complete":
        return (DASH if row["state"] is None else row["state"]), DASH
    standing = row["standing"]
    if standing == TIED:
        standing += f" ({readable.probability(row['front_probability'])})"
    if row["fastest"] == row["number"]:
        return standing, "1"
    interval = f"{row['factor_low']:.2f} to {row['factor_high']:.2f}"
    return standing, f"{row['factor']:.2f} ({interval}) of trial {row['fastest']}"


def _mark(home: Row, row: Row) -> str:
    """Return where the latency of a stack is disturbed: on one device, the other, or both."""
    devices = [each["device"] for each in (home, row) if each["latency_disturbed"]]
    return f"disturbed on {' and '.join(devices)}" if devices else ""


def _choices_table(choices: Mapping[str, Mapping[str, Chosen]], shown: Mapping[str, str]) -> Table:
    """Return the choices on each front, one axis a line."""
    devices = list(next(iter(choices.values())))
    table = readable.table("axis", *(shown[device] for device in devices))
    for axis, on in choices.items():
        table.add_row(axis, *(_chosen(on[device]) for device in devices))
    return table


def _chosen(chosen: Chosen) -> str:
    text = ", ".join(f"{readable.choice(each)} ({count})" for each, count in chosen.on_front.items()) or DASH
    missing = ", ".join(map(readable.choice, chosen.not_measured))
    return f"{text}; not measured: {missing}" if missing else text
