"""The records of the study in ``docs/fashion-mnist`` → the sentences that its page says it found.

``python -m tests.fashion_mnist`` prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from explorer.core.configuration import LATER, dtype_of
from explorer.core.measurement.statistics import Interval, ratio_interval
from tests import ROOT
from tests.explorer.results.study_report.expected import (
    BUDGET,
    LOST,
    Row,
    counterpart,
    geometric,
    latency,
    listed,
    ratio,
    rows_of,
)

FOLDER = ROOT / "docs" / "fashion-mnist"
NETWORKS = {"resnet18": "ResNet18", "mobilenetv2": "MobileNetV2"}
POINT = 0.01  # of accuracy


def frame() -> pd.DataFrame:
    """Return the finished trials as `explorer.frame` had them."""
    found = pd.read_csv(FOLDER / "trials.csv")
    return found.assign(**{axis: None for axis in LATER if axis not in found})


def said() -> list[str]:
    """Return every sentence, in the order of the page."""
    rows = rows_of(frame())
    return [finding(rows) for finding in FINDINGS]


def of(rows: Sequence[Row], **choices: Any) -> list[Row]:
    """Return the rows with these choices."""
    return [row for row in rows if all(row[axis] == choice for axis, choice in choices.items())]


def against(rows: Sequence[Row], others: Sequence[Row], but: Iterable[str], **choices: Any) -> list[Interval]:
    """Return the latency of each row over that of the stack that differs from it in the axes `but` alone."""
    axes = (*but, "channel_multiple")
    pairs = [(row, counterpart(others, row, axes, **choices)) for row in rows]
    return [ratio_interval(latency(row), latency(other)) for row, other in pairs if other is not None]


def for_each(rows: Sequence[Row], take: Callable[[Sequence[Row]], str]) -> str:
    """Return what `take` says of each network's rows."""
    return listed([f"{name} {take(of(rows, model=model))}" for model, name in NETWORKS.items()])


def compressed(rows: Sequence[Row], compression: str, share: float | None = None, form: str = "dense") -> list[Row]:
    found = of(rows, compression=compression, format=form, tuning_trials=0)
    return found if share is None else of(found, ratio=share)


def of_uncompressed(rows: Sequence[Row], compression: str, share: float | None = None, form: str = "dense") -> str:
    """Return the latency of compressed stacks as a share of that of the same ones uncompressed."""
    own = compressed(rows, compression, share, form)
    return ratio(geometric(against(own, rows, LOST, compression="none", format="dense")))


def within_a_point(rows: Sequence[Row]) -> str:
    def best(own: Sequence[Row]) -> str:
        base = min(of(own, compression="none"), key=lambda row: row["latency_ms"])
        near = [row for row in own if row["accuracy"] >= base["accuracy"] - POINT]
        found = min(near, key=lambda row: row["latency_ms"])
        what = found["compression"] + ("" if found["ratio"] is None else f" {found['ratio']:g}")
        times = ratio_interval(latency(base), latency(found))
        return (
            f"runs {ratio(times)} times as fast as its fastest uncompressed stack with {what} by {found['algorithm']} "
            f"on {counted(found['threads'])}, at {found['accuracy']:.1%} against {base['accuracy']:.1%}"
        )

    return f"Within one point of accuracy, {for_each(rows, best)}.".replace("%", " %")


def counted(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def zeros(rows: Sequence[Row]) -> str:
    def dense(own: Sequence[Row]) -> str:
        times = geometric(
            against(compressed(own, "weight_pruning", 0.95), own, LOST, compression="none", format="dense")
        )
        assert 0.95 < times.low < times.high < 1.05, "the sentence says that the time stays"
        return of_uncompressed(own, "weight_pruning", 0.95)

    return (
        f"Without 95 % of the weights but stored dense, the time stays what it was: {for_each(rows, dense)} of it in "
        "the geometric mean over algorithms and threads."
    )


def csr(rows: Sequence[Row]) -> str:
    def each(own: Sequence[Row]) -> str:
        times = [(share, of_uncompressed(own, "weight_pruning", share, "csr")) for share in (0.8, 0.9, 0.95)]
        return listed([f"{time} at {share:.0%}" for share, time in times]).replace("%", " %")

    return f"In csr the share of the uncompressed time is for {for_each(rows, each)}."


def channels(rows: Sequence[Row]) -> str:
    def each(own: Sequence[Row]) -> str:
        parts = []
        for share in (0.5, 0.75):
            pruned = compressed(own, "channel_pruning", share)
            macs = pruned[0]["macs"] / of(own, compression="none")[0]["macs"]
            parts.append(f"{of_uncompressed(own, 'channel_pruning', share)} with {macs:.2f} of the MACs")
        return f"takes {listed(parts)}"

    return f"Without half and without three quarters of the channels, {for_each(rows, each)}."


def narrow(rows: Sequence[Row]) -> str:
    def each(own: Sequence[Row]) -> str:
        whole, half = (of_uncompressed(own, name) for name in ("int8", "float16"))
        return f"takes {whole} of the float32 time as int8 and {half} as float16"

    return f"{for_each(rows, each)}."


def quantized(rows: Sequence[Row]) -> str:
    def each(own: Sequence[Row]) -> str:
        accuracies = [compressed(own, name)[0]["accuracy"] for name in ("none", "int8", "int8_qat")]
        return "knows " + listed([f"{accuracy:.1%}" for accuracy in accuracies]).replace("%", " %")

    return f"In float32, as int8, and as int8 after an epoch of quantization-aware training, {for_each(rows, each)}."


def algorithms(rows: Sequence[Row]) -> str:
    def each(own: Sequence[Row]) -> str:
        parts = []
        for dtype in ("float32", "int8"):
            for threads in (1, 2):
                same = [
                    row
                    for row in of(own, format="dense", tuning_trials=0, threads=threads)
                    if dtype_of(row["compression"]) == dtype and row["compression"] in ("none", "int8")
                ]
                parts.append(min(same, key=lambda row: row["latency_ms"])["algorithm"])
        return "by " + listed(parts)

    return (
        "In float32 on one and on two threads, and as int8 on one and on two, the uncompressed network runs fastest: "
        f"{for_each(rows, each)}."
    )


def tuning(rows: Sequence[Row]) -> str:
    tuned = [row for row in rows if row["tuning_trials"]]
    times = geometric(against(tuned, rows, BUDGET, tuning_trials=0))
    faster = sum(row["tuned_ratio_high"] is not None and row["tuned_ratio_high"] < 1 for row in tuned)
    best = min(tuned, key=lambda row: row["tuned_ratio"] or 1)
    return (
        f"Of {len(tuned)} stacks that were given 32 candidates to tune, {faster} have a library that is surely faster "
        f"than the rules' one; over all of them tuning takes {ratio(times)} of the untuned latency, and at best "
        f"{best['tuned_ratio']:.2f}: {NETWORKS[best['model']]} by {best['algorithm']} on {counted(best['threads'])}."
    )


def threads(rows: Sequence[Row]) -> str:
    def each(own: Sequence[Row]) -> str:
        return f"takes {ratio(geometric(against(of(own, threads=2), own, ('threads',), threads=1)))} of the time of one"

    return f"On two threads {for_each(rows, each)}."


def smallest(rows: Sequence[Row]) -> str:
    def each(own: Sequence[Row]) -> str:
        least, fastest = (min(own, key=lambda row: row[column]) for column in ("size_bytes", "latency_ms"))
        assert latency(fastest).is_below(latency(least)), "the sentence says so"
        return f"takes {ratio(ratio_interval(latency(least), latency(fastest)))} of the time of the fastest"

    return f"The smallest is not the fastest: the smallest stack of {for_each(rows, each)}."


FINDINGS: tuple[Callable[[Sequence[Row]], str], ...] = (
    within_a_point, zeros, csr, channels, narrow, quantized, algorithms, tuning, threads, smallest,
)  # fmt: skip

if __name__ == "__main__":
    print("\n".join(said()))
