"""Artifacts at the end of the line, and the latency → the record of the trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from explorer.core.configuration import Configuration
from explorer.core.measurement.metric import ACCURACY, Metric
from explorer.core.measurement.quantities import MEMORY, SIZE
from explorer.core.measurement.statistics import Interval
from explorer.line import contracts
from explorer.line.contracts.compress import Network
from explorer.line.trials.steps import (
    Built,
    Compressed,
    Confirmed,
    Data,
    Evaluated,
    Latency,
    Lowered,
    Ranked,
    Scored,
    Trained,
)
from explorer.workspace.database.records import Record

# Values of stage ``confirm`` that a record has, each after ``tuned_``.
RATIO: Sequence[Literal["ratio", "ratio_low", "ratio_high"]] = ("ratio", "ratio_low", "ratio_high")


def record_of(
    c: Configuration,
    data: Data,
    trained: Trained,
    compressed: Compressed,
    network: Network,
    lowered: Lowered,
    confirmed: Confirmed | None,
    built: Built,
    evaluated: Evaluated,
    latency: Latency,
    scored: Scored | None = None,
    metric: Metric = ACCURACY,
    ranked: Ranked | None = None,
) -> Record:
    """Return the record of a stack that came to the end of the line."""
    notes = {f"{made.stage}_note": made.values.get("note") for made in (data, trained, compressed)}
    return Record(
        {
            **reached_before(trained),
            **_plain(evaluated.values),
            **(_judged(scored, metric) if scored else {}),
            **known_of(c, compressed, lowered, confirmed, built),
            **latency.values,
            "dtype": c.dtype,
            **{name: note for name, note in notes.items() if note is not None},
            "data_key": data.key,
            "train_key": trained.key,
            "compress_key": compressed.key,
            "network_key": network.key,
            "lower_key": lowered.key,
            "build_key": built.key,
            "evaluate_key": evaluated.key,
            **({"score_key": scored.key} if scored else {}),
            **({"rank_key": ranked.key} if ranked else {}),
            "measure_key": latency.key,
        }
    )


def reached_before(trained: Trained) -> dict[str, object]:
    """Return the part of a record that says what the network reached before its compression."""
    return {
        name.replace("validation", "trained"): value
        for name, value in trained.values.items()
        if name in contracts.train.Reached.__annotations__
    }


def _judged(scored: Scored, metric: Metric) -> dict[str, object]:
    """Return the columns of a metric of the user's own, which have its name."""
    values = scored.values
    interval = metric.quantity.as_columns(Interval(values["value"], values["low"], values["high"]))
    return {**metric.columns, **interval, metric.test: values["test"]}


def known_of(
    c: Configuration, compressed: Compressed, lowered: Lowered, confirmed: Confirmed | None, built: Built
) -> dict[str, object]:
    """Return the part of a record that is known before the accuracy and the latency are."""
    own = built.values
    exact = {str(SIZE): own["size_bytes"], str(MEMORY): own["memory_bytes"] + c.threads * own["thread_bytes"]}
    ratio = {f"tuned_{name}": confirmed.values[name] for name in RATIO} if confirmed else {}
    costs = {name: value for name, value in compressed.values.items() if name != "note"}  # which is a column of its own
    return {**_plain(costs), **exact, **_plain(lowered.values), **ratio}


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values that fit a column of a table."""
    return {name: value for name, value in values.items() if not isinstance(value, (list, dict))}
