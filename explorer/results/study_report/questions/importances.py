"""Measured stacks → the share of log latency and of accuracy that each layer and axis explains, alone and in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from explorer.core.measurement.metric import Metric
from explorer.results.figures.importances import importances as draw
from explorer.results.study_report import words
from explorer.results.study_report.answer import Answer, Question, lacking
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.shares import anova, factors
from explorer.results.study_report.shares.factors import Factor
from explorer.results.study_report.shares.forest import LEAST_STACKS, Forest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

COLUMNS = ["target", "by", "factor", "with", "share", "method", "r2", "stacks"]
LAYER, AXIS = "layer", "axis"
GRID, FOREST = "full grid", "forest"
POOR_FIT = 0.5  # out-of-bag R² below which a forest's shares are not told as sentences
LEAST_TOLD, MOST_TOLD = 0.01, 3  # the share of a factor that a sentence names, and how many it names
NOTE = (
    "Functional analysis of variance, every choice weighing as much as any other: exact where the stacks are a full "
    "grid, else of a random forest of 64 trees, r2 being the share of the variance that it explains of stacks that a "
    "tree was not grown on. The latency is that of an image. A row with a second factor is the interaction of the "
    "two; the rest are interactions of three and more, and noise."
)


class Decomposition(NamedTuple):
    """The shares of one quantity by layers or axes, how they were found, and how well a forest fits."""

    shares: anova.Shares
    method: str
    r2: float | None


def answer(evidence: Evidence) -> Answer:
    """Return the shares for latency and accuracy, or another metric, by layers and by axes."""
    rows = table(evidence.complete)
    if rows.empty:
        return lacking(
            {"algorithm": ("direct", "gemm"), "threads": (1, 2)},
            f"it takes a full grid over two axes or more, or {LEAST_STACKS} stacks",
        )
    sentences = [_sentence(str(target), group) for target, group in rows.groupby("target", sort=False)]
    return Answer(tuple(sentences), rows, int(rows["stacks"].max()), partial(draw, rows), NOTE)


def table(complete: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each quantity and factor, and for each pair of factors, with the share that it explains."""
    import numpy as np
    import pandas as pd

    metric = Metric.of_frame(complete)
    targets = {
        "log latency": np.log((complete["latency_ms"] / complete["batch"]).to_numpy(dtype=float)),
        metric.name: complete[metric.name].to_numpy(dtype=float),
    }
    rows = []
    for target, values in targets.items():
        for by, found in _decompositions(complete, values):
            each = [(name, "", share) for name, share in found.shares.alone.items()]
            each += [(*pair, share) for pair, share in found.shares.together.items()]
            each.sort(key=lambda row: -row[2])
            each.append(("rest", "", found.shares.rest))
            rows += [(target, by, *row, found.method, found.r2, len(complete)) for row in each]
    return pd.DataFrame(rows, columns=COLUMNS)


def _decompositions(complete: pd.DataFrame, values: NDArray[np.float64]) -> Iterator[tuple[str, Decomposition]]:
    """Yield the decomposition by layers and by axes; the two share a forest where one is needed."""
    fitted: list[Forest | None] = []
    for by, of in ((LAYER, factors.layers), (AXIS, factors.axes)):
        own = of(complete)
        if len(own) < 2:
            continue
        if anova.is_grid(own, len(complete)):
            shares = anova.over_grid(values, own)
            found = shares and Decomposition(shares, GRID, None)
        else:
            binned = factors.binned(complete)
            if not fitted:
                fitted.append(Forest.fitted(binned, values) if values.std() > 1e-12 else None)
            found = _of_forest(fitted[0], of(binned))
        if found:
            yield by, found


def _of_forest(forest: Forest | None, own: Sequence[Factor]) -> Decomposition | None:
    shares = forest.shares(own) if forest else None
    return Decomposition(shares, FOREST, forest.r2) if forest and shares else None


def _sentence(target: str, group: pd.DataFrame) -> str:
    by = LAYER if (group["by"] == LAYER).any() else AXIS
    own = group[(group["by"] == by) & (group["factor"] != "rest")]
    method, r2, stacks = own["method"].iloc[0], own["r2"].iloc[0], words.counted(int(own["stacks"].iloc[0]), "stack")
    if method == FOREST and r2 < POOR_FIT:
        return f"Of {target}, a forest over {stacks} explains too little to say (out-of-bag R² {r2:.2f})."
    alone, together = own[own["with"] == ""], own[own["with"] != ""]
    most = words.rows(alone[alone["share"] >= LEAST_TOLD][:MOST_TOLD])
    told = (
        words.listed([f"{row['factor']} explains {words.percent(row['share'])}" for row in most])
        or f"no {by} explains 1 %"
    )
    pair = words.rows(together[together["share"] >= LEAST_TOLD][:1])
    named = [
        f"the largest interaction, {row['factor']} with {row['with']}, {words.percent(row['share'])}" for row in pair
    ]
    beside = named[0] if named else "no interaction of two explains 1 %"
    how = f"a full grid of {stacks}" if method == GRID else f"a forest over {stacks}, out-of-bag R² {r2:.2f}"
    return f"Of the variance of {target}, {told} alone; {beside} ({how})."


QUESTION = Question("importances", "How much does each layer of the stack explain?", answer)
