"""A trial that has ended → one line about it, no wider than a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from rich.cells import cell_len, chop_cells

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY, SIZE
from explorer.core.measurement.sessions import EMULATED
from explorer.results import readable
from explorer.workspace.database.records import Record

READABLE, LEAST = 8, 4  # cells of a name that is cut: beside other choices, and where there is room for none
DEFAULTS = {field.name: field.default for field in fields(Configuration)}


def trial_line(
    place: str, number: int, configuration: Configuration, outcome: Record | Failure, width: int | None = None
) -> str:
    """Return the outcome of a trial in one line.

    A line that would be wider than `width` names no choices that are the stack's defaults. As far as it must, it also
    loses the ends of names and its last choices, then the interval of the latency, then the size.

    Parameters
    ----------
    place
        Of the trial in the study, such as ``"[3/36]"``.
    width
        Of the terminal, in its cells; None for the whole line.
    """
    head = f"{place:>9} trial {number:<3} "
    results = _results(outcome)
    whole = f"{head}{brief(configuration)}  {results[0]}"
    if width is None or cell_len(whole) <= width:
        return whole
    core, others = _choices(configuration)
    for result in results:
        room = width - cell_len(f"{head}  {result}")
        for kept in reversed(range(len(others) + 1)):
            if shown := _within(core, others[:kept], room):
                return f"{head}{shown}  {result}"
    # A failure's message ends where the line does, and of a complete trial the choices make room for the results.
    shortest = " ".join(_cut(name, LEAST) for name in core)
    if not isinstance(outcome, Failure):
        shortest = _cut(shortest, width - cell_len(f"{head}  {results[-1]}"))
    return _cut(f"{head}{shortest}  {results[-1]}", width)


def brief(c: Configuration) -> str:
    """Return a configuration in a few words, as a person would tell it from its neighbours."""
    removed = f" {c.ratio:g}" if c.ratio is not None else ""
    multiple = f" in multiples of {c.channel_multiple}" if c.channel_multiple is not None else ""
    drop = f" losing {c.max_drop:g}" if c.max_drop is not None else ""
    threads = f"{c.threads} thread{'s' if c.threads > 1 else ''}"
    budget = [f"{c.tuning_trials} trials"] * (c.tuning_trials > 0) + [f"{c.tuning_seconds} s"] * (c.tuning_seconds > 0)
    tuned = f", tuned by {c.tuner} for {' or '.join(budget)}" if budget else ""
    batch = f", batch {c.batch}" if c.batch > 1 else ""
    data = f"{c.dataset}, {c.model} x{c.width:g}, {c.compression}{removed}{multiple}{drop}"
    return f"{data}, {c.algorithm} {c.format}{batch}{tuned}, {threads}, {c.device}"


def _choices(c: Configuration) -> tuple[list[str], list[str]]:
    """Return the choices that tell a stack apart at all, and the others that are not the default, each in a word."""

    def unless_default(axis: str, text: str) -> list[str]:
        return [] if getattr(c, axis) == DEFAULTS[axis] else [text]

    core = [
        c.model,
        *unless_default("compression", c.compression),
        *unless_default("ratio", f"{c.ratio}"),
        c.algorithm,
    ]
    others = [
        *unless_default("format", c.format),
        *unless_default("batch", f"batch {c.batch}"),
        *unless_default("tuner", f"{c.tuner}"),
        *unless_default("tuning_trials", f"{c.tuning_trials} trials"),
        *unless_default("tuning_seconds", f"{c.tuning_seconds} s"),
        *unless_default("threads", f"{c.threads} threads"),
        *unless_default("width", f"x{c.width:g}"),
        *unless_default("channel_multiple", f"multiples of {c.channel_multiple}"),
        *unless_default("max_drop", f"losing {c.max_drop}"),
        *unless_default("device", c.device),
        c.dataset,
    ]
    return core, others


def _within(core: Sequence[str], others: Sequence[str], room: int) -> str | None:
    """Return all words in at most `room` cells, the longest of `core` cut; None where they do not fit."""
    for cells in range(max(map(cell_len, core)), (READABLE if others else LEAST) - 1, -1):
        text = " ".join([*(_cut(word, cells) for word in core), *others])
        if cell_len(text) <= room:
            return text
    return None


def _cut(text: str, cells: int) -> str:
    """Return a text of at most `cells`, with an ellipsis where it was cut."""
    if cell_len(text) <= cells:
        return text
    return chop_cells(text, cells - 1)[0].rstrip(" …") + "…" if cells > 1 else "…"[:cells]


def _results(outcome: Record | Failure) -> list[str]:
    """Return what came of a trial in ever fewer words."""
    if isinstance(outcome, Failure):
        said = f"{'left' if outcome.transient else 'failed'} in {outcome.stage}: {outcome.message}"
        return [outcome.message if outcome.skipped else said]
    metric = Metric.of(outcome.values)
    reached, latency, size = (each.interval(outcome.values) for each in (metric.quantity, LATENCY, SIZE))
    interval = f"[{latency.low:.3f}, {latency.high:.3f}]"
    taken = f"{latency.value:.3f} ms" + (" emulated" if EMULATED in outcome.values else "")
    fewest = f"{metric.text(reached.value)}  {taken}"
    return [
        f"{metric.name} {reached.value:.4f}  {taken} {interval}  {size.value:,} B",
        f"{fewest}  {readable.size(int(size.value))}",
        fewest,
    ]
