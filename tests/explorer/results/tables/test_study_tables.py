"""What the tables say, as a terminal of 200 columns shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from rich.console import RenderableType

import explorer
from explorer.core.configuration import Configuration
from explorer.core.measurement.quantities import Quantity
from explorer.core.measurement.statistics import Interval
from explorer.fronts import certainty, pareto
from explorer.results import readable
from explorer.results.answers import best_stack
from explorer.results.answers.goals import Goals
from explorer.results.progress import status
from explorer.results.tables import best_tables, study_tables
from explorer.results.trials.account import LayerAccount
from explorer.results.trials.trial import LAYERS, Trial
from explorer.search.search import Summary
from explorer.search.trial_queue import Unfinished
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction
from explorer.workspace.database.records import Record
from explorer.workspace.store import Store
from tests.explorer.frames import complete, disturbed, emulated, failed, frame_of, study
from tests.explorer.searched import searched
from tests.explorer.shown import shown, squeezed

FRAME = frame_of(
    complete(0, 0.90, 1.0, 345_678, compression="weight_pruning", ratio=0.5, threads=2),
    complete(1, 0.95, 2.0),
    failed(2),
    complete(3, 0.97, 3.0),
)
OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
FRONT = pareto.front(FRAME, OBJECTIVES)


def test_the_front_has_a_column_for_what_differs_and_a_line_for_what_does_not() -> None:
    heads, first, *_, last, shared = shown(study_tables.front_table(FRONT))
    assert squeezed(heads) == "compression threads device trial accuracy test latency (ms) 95 % interval size"
    assert squeezed(first) == "none 1 local 3 97.00 % 96.00 % 3.000 2.940 to 3.150 1 kB"
    assert squeezed(last) == "weight_pruning 2 local 0 90.00 % 89.00 % 1.000 0.980 to 1.050 346 kB"
    assert shared.startswith("all: dataset digits, model resnet18, width 1, ratio 0.5, algorithm direct")
    assert shown(study_tables.front_table(FRONT.iloc[:0])) == ["no trial is complete yet"]


def test_the_front_of_stacks_on_several_devices_has_their_latency_on_each() -> None:
    both = {str(Quantity("latency_ms", device)): latency for device, latency in (("a", 2.0), ("b [c]", 1.0))}
    heads, line, *_ = shown(study_tables.front_table(frame_of({**complete(0, 0.9, 2.0, device="a+b [c]"), **both})))
    assert "(ms) on a  (ms) on b [c]" in heads
    assert line.split()[-4:] == ["2.000", "1.000", "1", "kB"]


def test_emulated_latencies_are_marked_in_every_table() -> None:
    frame = emulated(frame_of(complete(0, 0.9, 1.0, device="arm"), complete(1, 0.9, 2.0)), "arm")
    _, *lines, _, note = shown(study_tables.front_table(frame))
    assert [squeezed(line)[:14] for line in lines] == ["arm (emulated)", "local 1 90.00 "]
    assert note == readable.EMULATED
    assert "arm (emulated)" in shown(study_tables.latencies_table(frame.assign(latency_sessions=1)))[1]
    told = " ".join(map(squeezed, shown(best_tables.best_text(best_stack.best(frame, "arm", Goals(5.0))))))
    assert "latency (emulated) 1.000 ms" in told
    assert readable.EMULATED in told
    assert readable.EMULATED not in "".join(shown(best_tables.best_text(best_stack.best(frame, "local", Goals(5.0)))))
    both = {"latency_ms on arm": 2.0, "latency_ms on b": 1.0, "latency_emulated on arm": True, "latency_emulated": True}
    heads, *_ = shown(study_tables.front_table(frame_of({**complete(0, 0.9, 2.0, device="arm+b"), **both})))
    assert "(ms) on arm (emulated)  (ms) on b " in heads


def test_ties_follow_the_front_with_their_probabilities() -> None:
    frame = frame_of(complete(0, 0.9, 1.0), complete(1, 0.89, 1.01, threads=2), complete(2, 0.8, 0.5))
    rows = certainty.front_with_ties(frame, OBJECTIVES)
    heads, *lines, _ = shown(study_tables.fronts_table(rows, frame.iloc[:0], ()))
    assert squeezed(heads).endswith("size on front")
    assert [line.split()[2] for line in lines] == ["0", "2", "1"]
    likely = [f"{100 * value:.0f} %" for value in rows["front_probability"]]
    assert [" ".join(line.split()[-2:]) for line in lines] == likely
    assert likely[:2] == ["100 %", "100 %"]


def test_a_disturbed_latency_is_marked_and_the_mark_explained() -> None:
    frame = disturbed(frame_of(complete(0, 0.9, 1.0), complete(1, 0.8, 0.5)), 1, "no session was quiet")
    heads, quiet, marked, *below = shown(study_tables.front_table(certainty.front_with_ties(frame, OBJECTIVES)))
    assert squeezed(heads).endswith("size on front measured")
    assert squeezed(quiet).endswith("1 kB 100 %")
    assert squeezed(marked).endswith("1 kB 100 % disturbed")
    assert below[-1] == readable.DISTURBED
    other = frame.assign(latency_disturbed=None)
    assert "measured" not in shown(study_tables.front_table(certainty.front_with_ties(other, OBJECTIVES)))[0]


def test_the_knee_is_marked_where_there_is_one() -> None:
    rows = certainty.front_with_ties(FRAME, OBJECTIVES)
    heads, _, knee, last, _ = shown(study_tables.front_table(rows.assign(knee=rows["number"] == 1)))
    assert squeezed(heads).endswith("size on front")
    assert squeezed(knee).endswith("1 kB 100 % knee")
    assert not squeezed(last).endswith("knee")


def test_where_no_stack_keeps_the_limits_the_nearest_follow() -> None:
    limits = [Limit("latency_ms", "<=", 0.5)]
    nearest = pareto.nearest(FRAME, limits)
    said, heads, line, *_ = shown(study_tables.fronts_table(FRONT.iloc[:0], nearest, limits))
    assert said == "No stack keeps the limits on local (latency_ms <= 0.5). The nearest:"
    assert "accuracy" in heads
    assert line.split()[1] == "0"
    both = shown(study_tables.fronts_table(FRONT, nearest, limits))
    assert both[: len(shown(study_tables.front_table(FRONT)))] == shown(study_tables.front_table(FRONT))
    assert said in both
    assert shown(study_tables.fronts_table(FRONT, nearest.iloc[:0], limits)) == shown(study_tables.front_table(FRONT))


def test_the_best_stack_is_told_with_the_next_more_accurate_one() -> None:
    text = shown(best_tables.best_text(best_stack.best(FRAME, "local", Goals(1.02))))
    assert text[0] == "The most accurate stack within 1.02 ms on local (3 stacks measured, 1 failed):"
    assert "  Model Optimizations            compression weight_pruning, ratio 0.5" in text
    assert "note: the interval of its latency reaches 1.050 ms, over the budget" in text
    assert text[-1] == (
        "The next more accurate one costs 1.000 ms for 5.00 points: trial 1, with compression none, threads 1."
    )
    assert "It keeps the budget with 87 %." in text
    most = shown(best_tables.best_text(best_stack.best(FRAME, "local", Goals(9))))
    assert "It keeps the budget with over 99.9 %." in most
    assert most[-1] == "No measured stack on this device is more accurate."


def test_a_more_accurate_stack_that_may_not_keep_the_budget_is_told() -> None:
    wide = {**complete(4, 0.96, 1.9), "latency_low_ms": 1.5, "latency_high_ms": 2.6}
    frame = pd.concat([FRAME, frame_of(wide)], ignore_index=True)
    text = shown(best_tables.best_text(best_stack.best(frame, "local", Goals(2.2, min_confidence=0.95))))
    wanted = "within 2.2 ms on local, kept with a probability of at least 95 %"
    assert text[0] == f"The most accurate stack {wanted} (4 stacks measured, 1 failed):"
    assert text[-1].startswith("One more accurate by 1.00 points keeps the budget with 85 % only: trial 4, with ")


def test_an_answer_says_that_its_latency_is_disturbed() -> None:
    frame = disturbed(FRAME, 1, "no [session] was quiet")
    note = "note: its latency is disturbed: no [session] was quiet"
    assert note in shown(best_tables.best_text(best_stack.best(frame, "local", Goals(2.5))))
    assert not any(
        "disturbed" in line for line in shown(best_tables.best_text(best_stack.best(frame, "local", Goals(1.5))))
    )


def test_the_answer_for_several_devices_has_the_latency_on_each() -> None:
    both = {str(Quantity("latency_ms", name)): latency for name, latency in (("a", 2.0), ("[b]", 1.0))}
    numbers = {"number on a": 0, "number on [b]": 7}
    frame = frame_of({**complete(0, 0.9, 2.0, device="a+[b]"), **both, **numbers})
    text = shown(best_tables.best_text(best_stack.best(frame, "a+[b]", Goals(3))))
    assert text[0] == "The most accurate stack within 3 ms on a+[b] (1 stacks measured, 0 failed):"
    found = [squeezed(line) for line in text]
    assert "latency on a 2.000 ms, 95 % interval 2.000 to 2.000 ms" in found
    assert "latency on [b] 1.000 ms, 95 % interval 1.000 to 1.000 ms" in found
    assert "trial 0 on a, 7 on [b]" in found
    assert "It keeps the budget on every device with over 99.9 %." in text
    at_once = shown(best_tables.best_text(best_stack.best(frame.drop(columns=list(numbers)), "a+[b]", Goals(3))))
    assert "trial 0" in [squeezed(line) for line in at_once]


def test_without_a_stack_that_fits_the_nearest_is_told() -> None:
    text = shown(best_tables.best_text(best_stack.best(FRAME, "local", Goals(0.5, 0.92))))
    assert text[0] == (
        "No stack fits within 0.5 ms on local with at least 92.00 % accuracy "
        "(3 stacks measured, 1 failed). The nearest:"
    )
    assert text[-1].split() == ["trial", "1"]
    none = shown(best_tables.best_text(best_stack.best(frame_of(failed(0)), "local", Goals(0.5))))
    assert none == ["No stack is known within 0.5 ms on local (0 stacks measured, 1 failed)."]


def test_an_accuracy_without_its_interval_on_record_stands_alone() -> None:
    stack = best_stack.best(FRAME, "local", Goals(9)).stack
    assert stack is not None
    told = "97.00 % validation, 95 % interval 95.00 % to 97.40 %"
    assert any(told in line for line in shown(best_tables.stack_table(stack)))
    old = replace(stack, accuracy_interval=None, test_accuracy=None, placed=None, latency=Interval(3.0, 2.0, 4.0))
    lines = shown(best_tables.stack_table(old))
    assert "  accuracy                       97.00 % validation" in lines
    assert "  latency                        3.000 ms, 95 % interval 2.000 to 4.000 ms" in lines
    assert not any("as asked" in line for line in lines)


def test_the_status_counts_trials_by_device_and_causes_by_stage(tmp_path: Path) -> None:
    _, records = searched(tmp_path)
    found = status.status_of("drawn", records, records.frame("drawn"))
    first, heads, trials, _, causes, executed_heads, executed = shown(study_tables.status_text(found))
    assert first == "study drawn: 12 trials finished"
    assert squeezed(heads) == "device complete failed best accuracy fastest (ms)"
    assert squeezed(trials) == "local 10 2 95.50 % 1.000"
    assert squeezed(causes) == "measure crash 2 4, 9 trial 4 [died]"
    assert squeezed(executed_heads) == "stage executions failed seconds"
    assert squeezed(executed) == "train 2 0 4.0"


def test_the_status_tells_what_tuning_changes_and_what_was_skipped(tmp_path: Path) -> None:
    _, records = searched(tmp_path)
    found = status.status_of("drawn", records, records.frame("drawn"))
    ranks = [status.Ranks("local", "tuning_trials", 0, 8, 3, 4, 1, 2, 5, True)]
    skipped = found.failures.assign(
        failed_stage="compress", failure_kind="dominated", numbers=pd.Series([list(range(9))])
    )
    lines = shown(study_tables.status_text(replace(found, ranks=ranks, skipped=skipped)))
    assert squeezed(lines[-1]) == "local tuning_trials 0 to 8 3 4 1 (25.00 %) trial 2 trial 5"
    assert any(line.split()[:2] == ["compress", "dominated"] and "0, 1, 2, 3, 4, 5, …" in line for line in lines)
    assert lines[1].split()[:4] == ["device", "complete", "failed", "skipped"]


LAYER: LayerAccount = {
    "name": "features.0.[w]", "operator": "conv2d", "input": [1, 3, 32, 32], "weight": [8, 3, 3, 3],
    "output": [1, 8, 32, 32], "asked": "auto/dense", "ran": "gemm/dense", "reason": "", "dtype": "float32",
    "arithmetic": "float32", "macs": 221_184, "stored_bytes": 864, "stride": [1, 1], "padding": [1, 1, 1, 1],
    "dilation": [1, 1], "groups": 1, "measured": {"direct/dense": 2e-5, "gemm/dense": 1e-5},
    "program": "conv2d_gemm", "call": 0, "note": "", "nonzeros": 54,
}  # fmt: skip


def test_a_trial_is_told_whole() -> None:
    row = {"number": 7, "ratio": None, "macs_before": 2_000, "macs": 500, "size_bytes": 12_345}
    text = shown(*study_tables.trial_text(Trial(row, [LAYER], "a [log]")))
    assert ["size_bytes", "12,345"] in [line.split() for line in text]
    assert not any("ratio" in line for line in text)
    assert ["macs", "2,000", "500", "25.00", "%"] in [line.split() for line in text]
    assert text[-1] == "a [log]"
    (layer,) = [line for line in text if line.startswith("features.0.[w]")]
    assert (
        squeezed(layer)
        == "features.0.[w] conv2d 1x3x32x32 8x3x3x3 864 B 221,184 auto/dense gemm/dense gemm/dense 10, direct/dense 20"
    )


def test_a_trial_says_what_its_choices_apply_to() -> None:
    text = [squeezed(line) for line in shown(*study_tables.trial_text(Trial({"number": 7}, [LAYER], "")))]
    at = text.index("coverage of MACs of weights")
    assert text[at + 1 :] == [
        "as asked 100.00 % 100.00 %", "not as asked 0.00 % 0.00 %", "no algorithm to ask for 0.00 % 0.00 %",
        "narrowed 0.00 % 0.00 %", "pruned 75.00 % 75.00 %",
    ]  # fmt: skip


def test_a_run_of_a_network_that_the_algorithm_does_not_decide_says_so(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    summary, store = (
        Summary("drawn", complete=11, failed=0, skipped=0, added=11, exhausted=False),
        Store(place.artifacts),
    )
    dense: LayerAccount = {**LAYER, "operator": "dense", "asked": "dense", "ran": "dense", "macs": 2 * LAYER["macs"]}
    told = []
    for number, model, layers in ((12, "vgg16", [LAYER]), (13, "resnet18", [LAYER, dense])):
        own = {"build_key": f"{number:064d}", "latency_ms": 1 / number, "latency_low_ms": 0.9 / number}
        values = {**records.complete("drawn")[0][2].values, **own, "latency_high_ms": 1.1 / number}
        records.add_trial("drawn", number, Configuration("digits", model), Record(values), 1.0)
        with store.draft() as draft:
            (draft / LAYERS).write_text(json.dumps(layers))
            store.publish("build", f"{number:064d}", draft, {}, 1.0)
        with explorer.open(place.root) as opened:
            assert number in opened.front()["number"].tolist()
            lines = map(squeezed, shown(*study_tables.summary_text(summary, opened, Path("p"), "")))
        told.append([line for line in lines if line.startswith("only")])
    assert told == [[], [
        "only 33.33 % of the multiply-accumulates of trial 13 run with the algorithm that was asked for "
        "(there is none to ask for: 66.67 %); dlas show 13 tells layer by layer"
    ]]  # fmt: skip


def test_candidates_have_a_column_where_one_was_measured() -> None:
    assert len(study_tables.layers_table([LAYER]).columns) == 10
    assert len(study_tables.layers_table([{**LAYER, "measured": {}}]).columns) == 9


def test_remarks_are_why_a_layer_does_not_run_as_asked_and_what_its_schedule_does_without() -> None:
    plain: dict[str, Any] = {**LAYER, "reason": "no csr", "measured": {}}
    earlier = {name: value for name, value in plain.items() if name not in ("program", "note")}
    texts = shown(study_tables.layers_table(cast("list[LayerAccount]", [{**plain, "note": "no room"}, earlier])))
    assert [line.split("gemm/dense")[1].strip() for line in texts if "gemm" in line] == ["no csr; no room", "no csr"]


def test_a_run_ends_with_what_to_type_next(tmp_path: Path) -> None:
    place, _ = searched(tmp_path, limits=["latency_ms <= 6"])
    summary = Summary("drawn", complete=10, failed=2, skipped=1, added=12, exhausted=False)

    def text(of: Summary) -> Iterable[RenderableType]:
        return study_tables.summary_text(of, opened, Path("[page].html"), " --workspace 'a [b]'")

    with explorer.open(place.root) as opened:
        *_, ended, following = shown(*text(summary))
        assert ended == "13 trials, 2 failed, 1 not trained; the fronts as a page: [page].html"
        assert following == "next: dlas best --device local --latency-ms 3.2 --workspace 'a [b]'"
        *_, exhausted, _ = shown(*text(replace(summary, exhausted=True)))
        assert exhausted == "every configuration of the space has been tried"


def test_a_run_in_which_nothing_fits_ends_with_its_status(tmp_path: Path) -> None:
    place, _ = searched(tmp_path, limits=["latency_ms <= 0.5"])
    summary = Summary("drawn", complete=10, failed=0, skipped=0, added=10, exhausted=False)
    with explorer.open(place.root) as opened:
        assert shown(*study_tables.summary_text(summary, opened, Path("p"), ""))[-1] == "next: dlas status"


@pytest.mark.parametrize("devices", [("local",), ("local", "board")])
def test_each_stack_of_a_front_is_a_line(devices: tuple[str, ...]) -> None:
    front = pareto.front(study(devices), OBJECTIVES)
    assert len(shown(study_tables.front_table(front))) == len(front) + 2


def test_what_a_run_leaves_is_said_by_stage_and_kind() -> None:
    summary = Summary("drawn", complete=0, failed=0, skipped=0, added=0, exhausted=False)
    assert list(study_tables.unfinished_text(summary)) == []
    left = [Unfinished(4, "train", "crash", "the [torch] worker ended"), Unfinished(2, "train", "crash", "it ended")]
    one, *_ = study_tables.unfinished_text(replace(summary, unfinished=left[:1]))
    assert one.startswith("1 trial is unfinished")
    assert one.endswith("the same command tries it again")
    left.append(Unfinished(3, "measure", "device", "it is gone"))
    head, train, measure = shown(*study_tables.unfinished_text(replace(summary, unfinished=left)))
    assert head.startswith("3 trials are unfinished")
    assert (train, measure) == ("  train (crash) of 2, 4: it ended", "  measure (device) of 3: it is gone")
