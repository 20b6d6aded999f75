"""Measured stacks → how the orders by accuracy, size, MACs and latency agree, on each device and data set."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

from explorer.core.measurement.metric import Metric
from explorer.core.measurement.statistics import Interval
from explorer.results.figures.correlations import correlations as draw
from explorer.results.study_report import estimates, words
from explorer.results.study_report.answer import Answer, Question, lacking, said
from explorer.results.study_report.evidence import Evidence

if TYPE_CHECKING:
    import pandas as pd

# Column → the words for it; the latency is that of an image.
QUANTITIES = {"latency": "latency", "macs": "MACs", "size_bytes": "size"}
COLUMNS = ["device", "dataset", "one", "other", "stacks", "correlation", "low", "high"]
NOTE = (
    "Spearman's rank correlation, of the latency of an image, with the 95 % interval of stacks drawn at random. "
    "MACs count zeros, as a dense kernel computes them."
)


def answer(evidence: Evidence) -> Answer:
    """Return the rank correlations of each pair of quantities."""
    rows = table(evidence.complete)
    if rows.empty:
        return lacking(
            {"width": (0.25, 0.5, 0.75), "threads": (1, 2)},
            f"a rank correlation takes {estimates.LEAST_RANKED} measured stacks on a device, not all alike",
        )
    groups = rows.groupby(["device", "dataset"], sort=False)
    sentences = [_sentence(str(device), str(dataset), group) for (device, dataset), group in groups]
    stacks = int(groups["stacks"].max().sum())
    return Answer(said(sentences), rows, stacks, partial(draw, rows), NOTE)


def table(complete: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each device, data set and pair of quantities, with the correlation and its interval."""
    import pandas as pd

    metric = Metric.of_frame(complete)
    quantities, rows = {**QUANTITIES, metric.name: metric.name}, []
    for (device, dataset), group in complete.groupby(["device", "dataset"]):
        values = group.assign(latency=group["latency_ms"] / group["batch"])
        for one, other in combinations(quantities, 2):
            pair = values[[one, other]].astype(float).dropna()
            found = estimates.rank_correlation(pair[one].to_numpy(), pair[other].to_numpy())
            if found is not None:
                rows.append((device, dataset, quantities[one], quantities[other], len(pair), *found))
    return pd.DataFrame(rows, columns=COLUMNS)


def _sentence(device: str, dataset: str, group: pd.DataFrame) -> str:
    with_latency = group[group["one"] == "latency"]
    if with_latency.empty:
        return f"On {device}, the latencies of stacks on {dataset} are all alike."
    told = words.listed([_correlated(row) for row in words.rows(with_latency)])
    stacks = words.counted(int(with_latency["stacks"].max()), "stack")
    return f"On {device}, over {stacks} on {dataset}, the rank correlation of latency is {told}."


def _correlated(row: words.Row) -> str:
    found: Interval = words.interval(row, "correlation", "low", "high")
    unsure = " (cannot be told apart from none)" if found.low <= 0 <= found.high else ""
    return f"{words.ratio(found)} with {row['other']}{unsure}"


QUESTION = Question("correlations", "Do accuracy, size, MACs and latency go together?", answer)
