"""Search spaces and the plan of a grid → tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

from explorer.core.configuration import LAYERS
from explorer.results import readable

if TYPE_CHECKING:
    from explorer.line.trials.dry_run import StageCount
    from explorer.search.grids.planning import Plan
    from explorer.space.axes import Axis
    from explorer.space.space import Space


def spaces_table(spaces: list[Space]) -> Table:
    """Return one line per search space."""
    table = readable.table("space", "size", "sampler", "trials", "devices", "objectives", "file")
    for space in spaces:
        devices = ", ".join(str(choice) for choice in space.axes["device"].choices)
        objectives = ", ".join(space.objectives)
        table.add_row(
            space.name,
            space.size,
            space.sampler,
            str(space.trials),
            devices,
            objectives,
            str(space.path),
        )
    return table


def space_table(space: Space) -> RenderableType:
    """Return the axes of a search space, its size, and which of its devices no study could run on yet."""
    table = readable.table("layer", "axis", "choices")
    for layer, axes in LAYERS.items():
        for name in axes:
            table.add_row(layer if name == axes[0] else "", name, _choices(space.axes[name]))
    parts: list[RenderableType] = [readable.headed(space.name, f", {space.path}"), table]
    rules = f" under {len(space.constraints)} constraints" if space.constraints else ""
    combinations = math.prod(len(axis.choices) for axis in space.axes.values())
    parts.append(f"{combinations:,} combinations, valid{rules}: {space.size}")
    if space.limits:
        parts.append(f"limits: {', '.join(map(str, space.limits))}")
    if space.missing_devices:
        parts.append(
            readable.noted(
                f"no entry in {space.devices_file}, which a run needs, and counted with a target of its own each: "
                + ", ".join(space.missing_devices)
            )
        )
    return Group(*parts)


def space_text(space: Space, stages: Callable[[], Sequence[StageCount] | None]) -> Iterator[RenderableType]:
    """Yield a search space and, once they are counted, the executions of its stages.

    Parameters
    ----------
    stages
        Counts them, which takes a while for a large grid; it returns None for a continuous or huge space.
    """
    yield space_table(space)
    counted = stages()
    if counted is None and space.continuous:
        axis = space.continuous[0]
        yield f"stages are not counted: axis {axis} is continuous; give its range a step to count them"
    elif counted is None:
        yield f"stages are not counted: {space.count:,} configurations are too many"
    else:
        yield stages_table(counted)


def stages_table(stages: Sequence[StageCount]) -> RenderableType:
    """Return how often each stage is executed by every configuration alone and by all together, one stage a line."""
    table = readable.table("stage", "each alone", "all together")
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
    table = readable.table("stage", "each alone", "left", "alone (min)", "left (min)")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in plan.stages:
        times = (_minutes(each.seconds_alone), _minutes(each.seconds_left))
        table.add_row(each.stage, f"{each.alone:,}", f"{'at most ' if each.at_most else ''}{each.left:,}", *times)
    lines: list[RenderableType] = [f"{left}; executions of stages, if nothing fails:", table]
    if plan.seconds:
        share = readable.share(plan.share)
        saved = f"; sharing leaves {share} of what each alone would take" if share else ""
        lines.append(f"about {_minutes(plan.seconds)} minutes by what is on record{saved}")
    if plan.unknown:
        lines.append(f"no time is on record of {', '.join(plan.unknown)}")
    return Group(*lines)


def _minutes(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds / 60:,.1f}"


def _choices(axis: Axis) -> str:
    """Return an axis' choices; of numbers that were written as a range its bounds and step."""
    if axis.range is None:
        return ", ".join(map(readable.choice, axis.choices))
    kind = f" step {axis.range.step:g}" if axis.range.step else " continuous"
    return f"{axis.range}{kind}{', logarithmic' if axis.range.log else ''}"
