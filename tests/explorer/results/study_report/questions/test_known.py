"""Studies that are built so that the answer to a question is known have that answer, number by number."""

from __future__ import annotations

from itertools import product
from typing import Any

import pandas as pd
import pytest

from explorer.results.study_report.questions import (
    algorithms,
    certainty,
    correlations,
    devices,
    failures,
    importances,
    sparsity,
    speed_up,
    tuning,
)
from tests.explorer.frames import complete, emulated, failed, frame_of
from tests.explorer.results.across_devices.test_comparison import FRAME
from tests.explorer.results.study_report.studies import costed, evidence

PRUNED: dict[str, Any] = {"compression": "weight_pruning", "ratio": 0.9}


def exact(row: dict[str, Any]) -> dict[str, Any]:
    """Return a complete trial whose latency has an interval of one thousandth."""
    low, high = 0.999 * row["latency_ms"], 1.001 * row["latency_ms"]
    return {**row, "latency_low_ms": low, "latency_high_ms": high}


def test_latency_follows_what_it_is_made_of() -> None:
    rows = [costed(complete(i, 0.9, 0.01 * macs, 1000 + i % 3), macs) for i, macs in enumerate(range(100, 112))]
    frame = frame_of(*(row | {"width": 0.1 * (i + 1), "batch": 1} for i, row in enumerate(rows)))
    found = correlations.answer(evidence(frame))
    (sentence,) = found.sentences
    assert sentence.startswith(
        "On local, over 12 stacks on digits, the rank correlation of latency is 1.00 (1.00 to 1.00)"
    )
    assert "with MACs and" in sentence
    assert "with accuracy" not in sentence, "which is the same everywhere"
    assert found.stacks == 12


def test_a_batch_counts_by_the_image() -> None:
    rows = []
    for i, macs in enumerate(range(100, 112)):
        batch = 4 if i % 2 else 1
        rows.append(costed(complete(i, 0.9, float(macs * batch), width=0.1 * (i + 1), batch=batch), macs))
    table = correlations.table(evidence(frame_of(*rows)).complete)
    assert table.loc[table["other"] == "MACs", "correlation"].tolist() == [1.0]


def test_a_compression_that_halves_the_time_and_promised_a_quarter() -> None:
    rows = [costed(complete(0, 0.95, 2.0), 1000, 400), costed(complete(1, 0.95, 4.0, algorithm="gemm"), 1000, 400)]
    pruned: dict[str, Any] = {"compression": "channel_pruning", "ratio": 0.5, "channel_multiple": 8}
    rows += [
        costed(complete(2, 0.92, 1.0, **pruned), 250, 200),
        costed(complete(3, 0.92, 2.0, algorithm="gemm", **pruned), 250, 200),
    ]
    found = speed_up.answer(evidence(frame_of(*rows)))
    (row,) = found.table.to_dict("records")
    numbers = [row[name] for name in ("pairs", "networks", "speed_up", "expected_from_macs", "expected_from_bytes")]
    assert numbers == pytest.approx([2, 1, 2.0, 4.0, 2.0])
    assert row["accuracy_lost"] == pytest.approx(0.03)
    assert found.sentences[0].startswith(
        "On local, channel_pruning 0.5 brings the largest speed-up, 2.00 (2.00 to 2.00) over 2 pairs"
    )
    assert found.sentences[1] == (
        "On local, channel_pruning 0.5 falls the furthest short of its MACs: they promise a speed-up of 4.00, and it "
        "reaches 2.00 (2.00 to 2.00)."
    )


def test_in_csr_macs_promise_what_weights_are_left() -> None:
    rows = [costed(complete(0, 0.95, 2.0)), costed(complete(1, 0.95, 1.0, format="csr", **PRUNED), nonzeros=10)]
    rows += [costed(complete(2, 0.95, 2.0, **PRUNED), nonzeros=10)]
    table = speed_up.table(evidence(frame_of(*rows))).set_index("format")
    assert table["expected_from_macs"].to_dict() == pytest.approx({"csr": 10.0, "dense": 1.0})


def test_csr_overtakes_where_it_was_built_to() -> None:
    times = {0.5: 1.6, 0.8: 1.002, 0.9: 0.7, 0.95: 0.4}
    rows = [
        exact(complete(0, 0.9, 3.0 * (time if format_ == "csr" else 1), format=format_, **{**PRUNED, "ratio": ratio}))
        for ratio, time in times.items() for format_ in ("dense", "csr")
    ]  # fmt: skip
    found = sparsity.answer(evidence(frame_of(*({**row, "number": i} for i, row in enumerate(rows)))))
    assert found.sentences == (
        "On local, csr overtakes dense with direct between 0.8 and 0.9: it takes 0.70 (0.70 to 0.70) of the dense time "
        "at 0.9.",
    )
    assert found.stacks == 4
    assert sparsity.crossing(found.table[found.table["ratio"] <= 0.8]) == (0.8, None)
    assert sparsity.crossing(found.table[found.table["ratio"] >= 0.9]) == (None, 0.9)


def contest(latencies: dict[str, float], **axes: Any) -> list[dict[str, Any]]:
    return [exact(complete(0, 0.9, latency, algorithm=name, **axes)) for name, latency in latencies.items()]


def test_tuning_changes_the_winner_where_it_does() -> None:
    tuned: dict[str, Any] = {"tuning_trials": 64, "tuner": "template"}
    rows = contest({"direct": 2.0, "gemm": 3.0}) + contest({"direct": 1.9, "gemm": 1.0}, **tuned)
    rows += contest({"direct": 2.0, "gemm": 3.0}, model="vgg16") + contest(
        {"direct": 1.0, "gemm": 1.5}, model="vgg16", **tuned
    )
    rows += contest({"direct": 2.0, "gemm": 2.001}, model="vgg16", threads=2)
    rows += contest({"auto": 0.1}, model="vgg16", threads=2)
    found = algorithms.answer(evidence(frame_of(*({**row, "number": i} for i, row in enumerate(rows)))))
    assert found.sentences == (
        "On local, of 5 contests direct wins 3 and gemm wins 1; in 1 the two fastest cannot be told apart: it depends "
        "on network and dtype.",
        "Tuning changes the winner in 1 of 2 (50 %) contests that are clear both ways, on resnet18 on local.",
    )
    assert found.stacks == 10, "auto takes no part"


def test_tuning_is_worth_what_it_saves() -> None:
    tuned: dict[str, Any] = {"tuning_trials": 64, "tuner": "template"}
    rows = [complete(0, 0.9, 2.0), complete(1, 0.9, 4.0, threads=2)]
    rows += [complete(2, 0.9, 1.0, **tuned), complete(3, 0.9, 2.0, threads=2, **tuned)]
    rows[2] |= {"tuned_ratio": 0.6, "tuned_ratio_low": 0.5, "tuned_ratio_high": 0.7}
    found = tuning.answer(evidence(frame_of(*rows)))
    assert found.sentences == (
        "On local, 64 candidates of template take 0.50 (0.50 to 0.50) of the untuned latency, over 2 pairs.",
        "On local, 64 candidates of template take 0.60 (0.50 to 0.70) of the rules' time when confirmed, over 1 stack "
        "with a faster layer.",
    )
    alone = tuning.answer(evidence(frame_of(rows[2])))
    assert (len(alone.sentences), alone.stacks) == (1, 1)


def test_layers_explain_what_was_built_in() -> None:
    choices = product(("mobilenetv2", "resnet18"), (("direct", 1.0), ("gemm", 2.0)), (1, 2))
    rows = [
        complete(
            i, 0.9 if m == "resnet18" else 0.8, (8 if m == "resnet18" else 1) * times, model=m, algorithm=a, threads=t
        )
        for i, (m, (a, times), t) in enumerate(choices)
    ]
    found = importances.answer(evidence(frame_of(*rows)))
    how = "alone; no interaction of two explains 1 % (a full grid of 8 stacks)."
    assert found.sentences == (
        "Of the variance of log latency, Models & Neural Architectures explains 90 % and Algorithms & Data Formats "
        f"explains 10 % {how}",
        f"Of the variance of accuracy, Models & Neural Architectures explains 100 % {how}",
    )
    alone = found.table[(found.table["by"] == "axis") & (found.table["with"] == "")]
    shares = alone[alone["target"] == "log latency"].set_index("factor")["share"].to_dict()
    assert shares == pytest.approx({"model": 0.9, "algorithm": 0.1, "threads": 0, "rest": 0}, abs=1e-9)


def test_an_interaction_is_named() -> None:
    """The fastest algorithm depends on the model alone, and no model or algorithm is faster than another by itself."""
    times = {
        ("mobilenetv2", "direct"): 1.0,
        ("mobilenetv2", "gemm"): 2.0,
        ("vgg16", "direct"): 2.0,
        ("vgg16", "gemm"): 1.0,
    }
    rows = [complete(i, 0.9, time, model=m, algorithm=a) for i, ((m, a), time) in enumerate(times.items())]
    (sentence,) = importances.answer(evidence(frame_of(*rows))).sentences
    assert sentence == (
        "Of the variance of log latency, no layer explains 1 % alone; the largest interaction, Models & Neural "
        "Architectures with Algorithms & Data Formats, 100 % (a full grid of 4 stacks)."
    )


def test_a_forest_that_does_not_fit_says_nothing() -> None:
    import random

    chance = random.Random(0)
    rows = [
        complete(i, chance.random(), chance.uniform(1, 9), threads=1 + i % 4, batch=1, width=0.1 * (1 + i % 9))
        for i in range(35)
    ]
    found = importances.answer(evidence(frame_of(*rows)))
    assert [each for each in found.sentences if "explains too little to say (out-of-bag R² " in each] == list(
        found.sentences
    )


def test_the_winner_of_one_device_loses_on_another() -> None:
    found = devices.answer(evidence(FRAME))
    assert found.sentences == (
        "Of 1 stack on the front of big, 1 loses on little; the worst, trial 3, takes 1.50 (1.42 to 1.58) times as "
        "long there as the fastest stack of its accuracy.",
        "Of 1 stack on the front of little, 1 loses on big; the worst, trial 1, takes 2.00 (1.90 to 2.11) times as "
        "long there as the fastest stack of its accuracy.",
    )
    only = devices.answer(evidence(emulated(FRAME, "little")))
    assert only.needs is not None
    assert "measured on one device" in only.sentences[0]
    assert evidence(emulated(FRAME, "little")).left_out == ("little",)
    both = evidence(emulated(FRAME, "little"), emulated=True)
    assert devices.answer(both).sentences == found.sentences


def test_a_front_that_ties_says_so() -> None:
    rows = [complete(0, 0.9, 1.0), complete(1, 0.9, 1.01, algorithm="gemm"), complete(2, 0.8, 3.0, threads=2)]
    (sentence,) = certainty.answer(evidence(frame_of(*rows))).sentences
    assert sentence.startswith(
        "On local, 1 stack of 3 measured are on the front, 0 of them with a probability of at least 95 %; 1 more stack "
        "cannot be told apart from it; the least sure is trial 0 with "
    )


def test_failures_and_layers_that_fell_back_are_counted() -> None:
    rows = [complete(0, 0.9, 1.0), complete(1, 0.9, 1.0, algorithm="winograd") | {"convolutions_as_asked": 7}]
    rows += [failed(2), failed(3, "build", "exception"), failed(4, model="vgg16")]
    rows += [failed(5, "latency", "dominated") | {"state": "skipped"}]
    found = failures.answer(evidence(frame_of(*rows)))
    assert found.sentences == (
        "3 of 6 (50 %) trials failed: 2 in measure (crash) and 1 in build (exception).",
        "1 of 6 (17 %) trials were skipped: 1 in latency (dominated).",
        "15 of 42 (36 %) convolutions run something else than asked for, the greatest share with winograd, dense: 14 "
        "of 21 (67 %).",
    )
    whole = failures.answer(evidence(frame_of(complete(0, 0.9, 1.0) | {"convolutions_as_asked": 21})))
    assert whole.sentences == (
        "None of 1 trial failed.",
        "All of 21 convolutions run the algorithm and format asked for.",
    )


def test_the_last_trial_of_a_stack_counts() -> None:
    rows = [complete(0, 0.9, 1.0), complete(1, 0.9, 5.0)]
    assert evidence(frame_of(*rows)).complete["number"].tolist() == [1]
    assert isinstance(evidence(frame_of(*rows)).codes, pd.DataFrame)
