"""Latency first: what is measured before it is fine-tuned and left out is on no front; the rest is as without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

import explorer
from explorer import cli
from explorer.core.configuration import Configuration
from explorer.core.errors import DOMINATED
from explorer.fronts.pareto import on_front
from explorer.search import latency_first
from explorer.search.latency_first import Screen
from explorer.space import space
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Once, Ran
from tests.explorer import spaces
from tests.explorer.frames import frame_of
from tests.studies import Events

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"}
BLIND = "tests.custom_plugins:blind"  # slow, and of no use
PRUNED = Configuration("digits", "resnet18", compression="channel_pruning", ratio=0.5, channel_multiple=8)


def values(accuracy: float, latency: float, size: int = 1000, trained: float = 0.9, key: str = "") -> dict[str, Any]:
    return {
        "compress_key": key,
        "trained_accuracy": trained, "accuracy": accuracy, "latency_ms": latency, "latency_low_ms": 0.9 * latency,
        "latency_high_ms": 1.1 * latency, "size_bytes": size, "images_per_second": 1e3 / latency,
        "images_per_second_low": 1e3 / latency / 1.1, "images_per_second_high": 1e3 / latency / 0.9,
    }  # fmt: skip


def screen(*trials: dict[str, Any], limits: tuple[str, ...] = ()) -> Screen:
    """Return a screen that knows these trials, and of many fine-tuned ones that they mended a tenth of the errors."""
    made = Screen(OBJECTIVES, [Limit.parse(text) for text in limits])
    for number in range(latency_first.MIN_FINE_TUNED):
        made.add(number, PRUNED, values(0.91, 100.0, 10**9, key=f"{number}"))
    for number, each in enumerate(trials, 100):
        made.add(number, Configuration("digits", "resnet18"), each)
    return made


def test_nothing_is_left_out_before_it_is_known_what_fine_tuning_mends() -> None:
    new = Screen(OBJECTIVES)
    for number in range(latency_first.MIN_FINE_TUNED):
        new.add(number, PRUNED, values(0.99, 1.0, key="one and the same"))
    assert new.why_not(PRUNED, values(0.0, 2.0)) is None
    assert screen(values(0.99, 1.0)).why_not(PRUNED, values(0.0, 2.0)) is not None


def test_the_reason_names_the_better_trial_and_what_could_be_reached() -> None:
    why = screen(values(0.95, 1.0, 900)).why_not(PRUNED, values(0.0, 2.0, 1000))
    assert why == "trial 100 is better: 95.00%, 1.000 ms, 900 B against 91.00%, 2.000 ms, 1,000 B at best"


@pytest.mark.parametrize(
    "known",
    [
        values(0.0, 2.0, 899),  # smaller
        values(0.0, 1.2, 1000),  # its interval reaches into the other one's
        values(0.0, 2.0, 1000, trained=0.95),  # 95.5 % are possible
    ],
)
def test_what_may_reach_the_front_is_trained(known: dict[str, Any]) -> None:
    assert screen(values(0.95, 1.0, 900)).why_not(PRUNED, known) is None


def test_one_measurement_of_both_leaves_the_rest_to_decide() -> None:
    same = screen(values(0.95, 1.0, 900))
    assert same.why_not(PRUNED, values(0.0, 1.0, 901)) is not None
    assert same.why_not(PRUNED, values(0.0, 1.0, 899)) is None


@pytest.mark.parametrize("other", [{"device": "rpi4"}, {"dataset": "cifar10"}])
def test_stacks_are_held_against_those_of_their_device_and_gains_of_their_data_set(other: dict[str, str]) -> None:
    assert screen(values(0.99, 1.0)).why_not(replace(PRUNED, **other), values(0.0, 2.0)) is None  # type: ignore[arg-type]


def test_what_breaks_a_limit_for_certain_is_left_out_once_a_stack_keeps_all() -> None:
    limits = ("latency_ms <= 1.5",)
    assert screen(limits=limits).why_not(PRUNED, values(0.0, 1.7, 1)) is None, "the nearest is still looked for"
    keeping = screen(values(0.95, 1.0, 900), limits=limits)
    why = keeping.why_not(PRUNED, values(0.0, 1.7, 1))
    assert why == "at 91.00%, 1.700 ms, 1 B at best it breaks the limit latency_ms <= 1.5, which trial 100 keeps"
    assert keeping.why_not(PRUNED, values(0.0, 1.6, 1)) is None, "its interval begins within"
    for least, left_out in ((650, False), (660, True)):  # 588 images per second, up to 654
        demanding = screen(values(0.95, 1.0, 900), limits=(f"images_per_second >= {least}",))
        assert bool(demanding.why_not(PRUNED, values(0.0, 1.7, 1))) == left_out
    accurate = screen(values(0.95, 1.0, 900), limits=("accuracy >= 0.93",))
    assert accurate.why_not(PRUNED, values(0.0, 0.1, 1)) is not None


def test_a_stack_that_breaks_a_limit_is_no_reason_to_leave_out_another_one() -> None:
    beyond = screen(values(0.95, 1.0, 900), limits=("size_bytes <= 800",))
    assert beyond.why_not(PRUNED, values(0.0, 2.0, 700)) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)), min_size=1), st.data())
def test_where_fine_tuning_mends_what_it_did_before_no_point_of_the_front_is_left_out(
    points: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    stacks = [values(0.8 + own / 100, latency, size, trained=0.89) for own, latency, size in points]
    order = data.draw(st.permutations(range(len(stacks))))
    made, skipped = screen(), set()
    for number in order:
        if made.why_not(PRUNED, stacks[number]):
            skipped.add(number)
        else:
            made.add(number, PRUNED, stacks[number])
    rows = [{"state": "complete", "device": "local", **stack} for stack in stacks]
    front = on_front(frame_of(*rows), OBJECTIVES)
    assert not skipped & set(front.index[front])


def together(left: float, right: float, accuracy: float = 0.0, size: int = 1000) -> dict[str, Any]:
    """Return what is on record of a stack that takes so long on two devices."""
    each = {"left": values(accuracy, left, size), "right": values(accuracy, right, size)}
    both = {f"{name} on {device}": value for device, known in each.items() for name, value in known.items()}
    return {**values(accuracy, max(left, right), size), **both}


def test_of_stacks_on_several_devices_every_objective_counts() -> None:
    both = replace(PRUNED, device="left+right")
    made = Screen({"accuracy on left": "maximize", "latency_ms on right": "minimize"})
    for number in range(latency_first.MIN_FINE_TUNED):
        made.add(number, both, {**together(99.0, 99.0, 0.91, 10**9), "compress_key": f"{number}"})
    made.add(100, both, together(2.0, 1.0, 0.95, 900))
    assert made.why_not(both, together(3.0, 2.0)) is not None
    assert made.why_not(both, together(3.0, 0.5)) is None, "it is faster on the right"
    assert made.why_not(both, together(3.0, 1.1)) is None, "it may be as fast there"
    assert made.why_not(replace(PRUNED, device="left"), together(3.0, 2.0)) is None
    limited = Screen(OBJECTIVES, [Limit.parse("latency_ms <= 5 on left"), Limit.parse("accuracy >= 0.5 on left")])
    limited.add(0, both, together(2.0, 1.0, 0.95))
    assert "it breaks the limit latency_ms <= 5 on left" in str(limited.why_not(both, together(6.0, 0.1, size=1)))
    assert limited.why_not(both, together(5.4, 0.1, size=1)) is None, "its interval begins within"


def write(folder: Path, name: str) -> Path:
    axes = {
        "dataset": "digits",
        "model": [studies.SMALL, BLIND],
        "width": [0.25, 6],
        "compression": ["none", "weight_pruning", "channel_pruning"],
        "ratio": 0.5,
    }
    constraints = [
        {"when": {"model": studies.SMALL}, "require": {"width": [0.25]}},
        {"when": {"model": BLIND}, "require": {"width": [6]}},
    ]
    tables: dict[str, dict[str, Any]] = {
        "search": {"sampler": "grid", "latency_first": True},
        "train": {"epochs": 8},
        "compress": {"epochs": 1},
        "measure": studies.QUICK,
    }
    path = folder / f"{name}.toml"
    path.write_text(spaces.render(axes, constraints, name, **tables))
    return path


@pytest.fixture(scope="module")
def first(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A full grid, and a study of the same space with latency first, in one workspace."""

    def run(folder: Path) -> Ran:
        ran = Ran(write(folder, "first"), folder / "workspace", Events())
        studies.run_grid(write(folder, "whole"), ran.workspace, Events())
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(latency_first, "MIN_FINE_TUNED", 2)  # of 4
            studies.run(ran.space, ran.workspace, ran.events)
        return ran

    return once.ran("first", run, tmp_path_factory.mktemp("first"))


@pytest.mark.slow
def test_no_point_of_a_full_grids_front_is_left_out(first: Ran) -> None:
    whole = explorer.frame(first.workspace, "whole")
    assert set(whole["state"]) == {"complete"}, "a grid leaves nothing out"
    trials = explorer.frame(first.workspace, "first")
    skipped = trials[trials["state"] == "skipped"]
    assert len(trials) == len(whole) == space.load(first.space).count
    assert len(skipped) >= 1
    front = explorer.front(first.workspace, "whole")
    assert not set(front["configuration_id"]) & set(skipped["configuration_id"])


@pytest.mark.slow
def test_stacks_are_measured_again_as_they_were_before_their_fine_tuning(first: Ran) -> None:
    trials = explorer.frame(first.workspace, "first")
    known = Records(Workspace(first.workspace).url).sessions.latencies()
    keys = trials["measure_key"].dropna()
    assert len(keys) > 1
    assert min(known[key, "local"].taken for key in keys) >= 2


@pytest.mark.slow
def test_what_was_left_out_is_on_record_with_its_reason(first: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    trials = explorer.frame(first.workspace, "first").set_index("number")
    stored = optuna.load_study(study_name="first", storage=Workspace(first.workspace).url).trials
    for number, row in trials.iterrows():
        state = {"skipped": TrialState.PRUNED, "complete": TrialState.COMPLETE}[row["state"]]
        assert stored[int(str(number))].state == state
    for _, row in trials[trials["state"] == "skipped"].iterrows():
        assert (row["failed_stage"], row["failure_kind"]) == ("compress", DOMINATED)
        assert row["failure"].startswith("not trained, since trial ")
        better = trials.loc[int(row["failure"].split()[4])]
        assert better["state"] == "complete"
    counts = Records(Workspace(first.workspace).url).count("first")
    assert counts == (sum(trials["state"] == "complete"), 0, sum(trials["state"] == "skipped"))
    with pytest.raises(SystemExit):
        cli.main(["status", "--workspace", str(first.workspace), "--study", "first"])
    assert "not trained, since trial" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_stacks_that_were_trained_have_the_same_accuracy_and_library_as_in_the_grid(first: Ran) -> None:
    columns = ["accuracy", "size_bytes", "macs", "compress_key", "build_key", "evaluate_key"]
    whole = explorer.frame(first.workspace, "whole").set_index("configuration_id")[columns]
    trials = explorer.frame(first.workspace, "first").set_index("configuration_id")
    complete = trials[trials["state"] == "complete"][columns]
    assert (complete == whole.loc[complete.index]).all(axis=None)


@pytest.mark.slow
def test_what_weights_are_zero_in_is_not_measured_again(first: Ran) -> None:
    trials = explorer.frame(first.workspace, "first")
    complete = trials[trials["state"] == "complete"]
    keys = {name: set(rows["measure_key"]) for name, rows in complete.groupby("compression")}
    assert keys["weight_pruning"] <= keys["none"]
    whole = explorer.frame(first.workspace, "whole")
    assert keys["none"] <= set(whole["measure_key"])
    assert not keys.get("channel_pruning", set()) & set(whole["measure_key"])
