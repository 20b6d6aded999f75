"""Successive halving over tuning budgets: the best of a rung climb, more where orders change, none twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, SpaceError, WorkspaceError
from explorer.search.optuna_study.optuna_database import PROMOTED
from explorer.search.optuna_study.study import Study
from explorer.search.successive_halving import Finished, Inversions, Ladder, inversions, ranked, share_kept
from explorer.space import space
from explorer.space.limits import Limit
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.explorer import spaces

AXES: dict[str, Any] = {
    "dataset": ["digits"],
    "model": ["mobilenetv2", "resnet18"],
    "width": [0.25, 0.5, 0.75],
    "compression": ["none", "float16"],
    "algorithm": ["direct", "gemm"],
    "tuning_trials": [64, 0, 16],
    "threads": [1],
}
Latency = Callable[[Configuration], float]


def ladder(folder: Path, axes: Mapping[str, object] = AXES, /, **search: object) -> Space:
    options = {"sampler": "grid", "trials": 72, "rungs": "tuning_trials", **search}
    return spaces.make(folder, axes, **options)


def opened(searched: Space, folder: Path) -> Study:
    workspace = Workspace(folder)
    folder.mkdir(exist_ok=True)
    return Study(searched, workspace, Records(workspace.url))


def result(latency: float, accuracy: float = 0.9) -> Record:
    interval = {"latency_low_ms": 0.99 * latency, "latency_high_ms": 1.01 * latency}
    return Record({"accuracy": accuracy, "latency_ms": latency, **interval, "size_bytes": 1})


def steady(configuration: Configuration) -> float:
    """Return a latency that tuning makes a tenth less, whatever is tuned."""
    place = (configuration.model, configuration.width, configuration.compression, configuration.algorithm)
    own = 1 + int.from_bytes(str(place).encode(), "big") % 97
    return own * 0.9 ** [0, 16, 64].index(configuration.tuning_trials)


def unsteady(configuration: Configuration) -> float:
    """Return a latency whose order is the opposite one with every larger budget."""
    own = steady(configuration) / 0.9 ** [0, 16, 64].index(configuration.tuning_trials)
    return 200 - own if configuration.tuning_trials == 16 else own


def searched_to_the_end(study: Study, latency: Latency) -> list[Configuration]:
    asked = []
    while (found := study.ask()) is not None:
        number, configuration = found
        study.tell(number, configuration, result(latency(configuration)), 0.1)
        asked.append(configuration)
    return asked


def on_rung(asked: list[Configuration], budget: int) -> list[Configuration]:
    return [configuration for configuration in asked if configuration.tuning_trials == budget]


def stack(configuration: Configuration, tuner: str | None = None) -> Configuration:
    return replace(configuration, tuning_trials=0, tuner=tuner)


@pytest.mark.parametrize("reduction", [2, 3])
def test_the_best_of_every_rung_stand_on_the_next_one(reduction: int, tmp_path: Path) -> None:
    asked = searched_to_the_end(opened(ladder(tmp_path, reduction=reduction), tmp_path / "w"), steady)
    assert len({configuration.id for configuration in asked}) == len(asked)
    rungs = [on_rung(asked, budget) for budget in (0, 16, 64)]
    assert len(rungs[0]) == 24 > 2 * len(rungs[1]) * (reduction - 1) / reduction > len(rungs[2])
    for below, above in pairwise(rungs):
        best = sorted(below, key=steady)[: len(below) // reduction]
        # Of equal ones any will do.
        slowest = max(map(steady, best))
        assert {stack(c) for c in below if steady(c) < slowest} <= {stack(c) for c in above}


def test_all_are_promoted_where_orders_change(tmp_path: Path) -> None:
    asked = searched_to_the_end(opened(ladder(tmp_path), tmp_path / "w"), unsteady)
    assert [len(on_rung(asked, budget)) for budget in (0, 16)] == [24, 24]
    assert len(on_rung(asked, 64)) > 20


def test_what_fails_is_not_promoted(tmp_path: Path) -> None:
    study = opened(ladder(tmp_path), tmp_path / "w")
    asked = []
    while (found := study.ask()) is not None:
        number, configuration = found
        failure = Failure("tune", "not_applicable", "no")
        gemm = configuration.algorithm == "gemm"
        study.tell(number, configuration, failure if gemm else result(steady(configuration)), 0.1)
        asked.append(configuration)
    assert {c.algorithm for c in asked if c.tuning_trials} == {"direct"}


def test_an_untuned_stack_is_promoted_with_every_tuner(tmp_path: Path) -> None:
    searched = spaces.make(
        tmp_path, {**AXES, "tuner": ["template", "generated"]}, sampler="grid", trials=99, rungs="tuning_trials"
    )
    asked = searched_to_the_end(opened(searched, tmp_path / "w"), steady)
    tuned, longer = on_rung(asked, 16), on_rung(asked, 64)
    assert {c.tuner for c in on_rung(asked, 0)} == {None}
    assert [c.tuner for c in tuned].count("template") == [c.tuner for c in tuned].count("generated") >= 8
    # Each goes on with the tuner that it was judged with.
    assert len(longer) >= len(tuned) // 3
    assert {stack(c, c.tuner) for c in longer} <= {stack(c, c.tuner) for c in tuned}


@pytest.mark.parametrize("widths", [[0.25], pytest.param(AXES["width"], marks=pytest.mark.nightly)])
@pytest.mark.parametrize("sampler", spaces.FEW_SAMPLERS)
def test_a_study_opened_anew_for_each_trial_asks_the_same(sampler: str, widths: list[float], tmp_path: Path) -> None:
    searched = ladder(tmp_path, {**AXES, "width": widths}, sampler=sampler, reduction=2)
    undisturbed = searched_to_the_end(opened(searched, tmp_path / "a"), steady)
    assert {configuration.tuning_trials for configuration in undisturbed} == {0, 16, 64}
    resumed: list[Configuration] = []
    while (found := (study := opened(searched, tmp_path / "b")).ask()) is not None:
        if len(resumed) % 4 == 1:  # it was cut off
            study = opened(searched, tmp_path / "b")
            assert study.ask() == found
        study.tell(*found, result(steady(found[1])), 0.1)
        resumed.append(found[1])
    assert resumed == undisturbed


def test_rungs_and_why_one_was_promoted_are_on_record(tmp_path: Path) -> None:
    searched = ladder(tmp_path)
    searched_to_the_end(opened(searched, tmp_path / "w"), steady)
    stored = optuna.load_study(study_name=searched.name, storage=Workspace(tmp_path / "w").url).trials
    promoted = [trial for trial in stored if PROMOTED in trial.user_attrs]
    assert len(stored) - len(promoted) == 24
    first = [facts for trial in promoted if (facts := trial.user_attrs[PROMOTED])["rung"] == 1]
    assert all(PROMOTED not in stored[facts["from"]].user_attrs for facts in first)
    assert {facts["inverted"] for facts in first} == {0}
    assert first[0]["kept"] == pytest.approx(1 / 3)
    assert max(facts["pairs"] for facts in first) >= 15


def test_a_study_with_rungs_is_none_without(tmp_path: Path) -> None:
    opened(ladder(tmp_path), tmp_path / "w")
    with pytest.raises(WorkspaceError, match="other rungs"):
        opened(spaces.make(tmp_path, AXES, sampler="grid", trials=72), tmp_path / "w")
    opened(ladder(tmp_path, reduction=2), tmp_path / "w")


LATENCIES = st.lists(st.integers(1, 100), min_size=2, max_size=8)


def finished(number: int, budget: int, latency: float, spread: float = 0.0) -> Finished:
    configuration = Configuration(
        "digits", "resnet18", width=1.0 + number, tuning_trials=budget, tuner="template" if budget else None
    )
    values = {"latency_ms": latency, "latency_low_ms": latency - spread, "latency_high_ms": latency + spread}
    return Finished(number, configuration, {"accuracy": 0.9, **values})


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_ladder_counts_what_a_look_at_all_trials_finds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    searched = ladder(tmp_path_factory.getbasetemp())
    every = [c for c in searched.configurations() if c.tuning_trials < 64 and c.tuner in (None, "template")]
    chosen = data.draw(st.lists(st.sampled_from(every), unique_by=lambda c: c.id))
    chosen.sort(key=lambda c: c.tuning_trials)  # what is promoted comes later
    trials = [Finished(n, c, result(data.draw(st.floats(0.5, 2.0))).values) for n, c in enumerate(chosen)]
    made = Ladder(searched)
    for trial in [*trials, *trials]:  # one that was cut off comes twice
        made.add(trial)
    lower, upper = ([t for t in trials if t.configuration.tuning_trials == budget] for budget in (0, 16))
    rungs = made._rungs[0].values()
    assert [rung.inversions for rung in rungs] == [inversions(lower, upper, "tuning_trials")] * len(rungs)
    assert sum(len(rung.trials) for rung in rungs) == len(lower)


@given(LATENCIES)
def test_orders_that_last_are_no_inversions_and_reversed_ones_are(latencies: list[int]) -> None:
    lower = [finished(number, 0, latency) for number, latency in enumerate(latencies)]
    same = [finished(number, 8, latency / 2) for number, latency in enumerate(latencies)]
    reverse = [finished(number, 8, 200 - latency) for number, latency in enumerate(latencies)]
    apart = sum(a < b for a in latencies for b in latencies)
    assert inversions(lower, same, "tuning_trials") == Inversions(apart, 0)
    assert inversions(lower, reverse, "tuning_trials") == Inversions(apart, apart)


def test_latencies_that_may_be_equal_are_not_compared() -> None:
    lower = [finished(0, 0, 1.0, 0.2), finished(1, 0, 1.1, 0.2), finished(2, 0, 9.0)]
    upper = [finished(0, 8, 1.0), finished(1, 8, 0.9), finished(2, 8, 8.0)]
    assert inversions(lower, upper, "tuning_trials") == Inversions(2, 0)


def test_the_share_grows_from_one_in_so_many_to_all() -> None:
    assert share_kept(3, Inversions(0, 0)) == pytest.approx(1 / 3)
    assert share_kept(3, Inversions(1, 1)) < 2 / 3, "one inversion says little"
    assert share_kept(3, Inversions(1000, 500)) == pytest.approx(1, abs=0.01)
    assert share_kept(3, Inversions(1000, 900)) == 1


def test_fronts_come_first_and_then_what_adds_most() -> None:
    points = {0: (0.9, 1.0), 1: (0.95, 2.0), 2: (0.9, 2.0), 3: (0.99, 9.0), 4: (0.5, 9.5)}
    trials = [
        Finished(number, Configuration("digits", "resnet18"), {"accuracy": accuracy, "latency_ms": latency})
        for number, (accuracy, latency) in points.items()
    ]
    order = [trial.number for trial in ranked(trials, {"accuracy": "maximize", "latency_ms": "minimize"})]
    assert set(order[:3]) == {0, 1, 3}
    assert order[3:] == [2, 4]


def test_what_breaks_a_limit_comes_last_by_how_much() -> None:
    points = {0: (0.9, 1.0), 1: (0.95, 4.0), 2: (0.9, 2.0), 3: (0.99, 9.0), 4: (0.5, 3.1)}
    trials = [
        Finished(number, Configuration("digits", "resnet18"), {"accuracy": accuracy, "latency_ms": latency})
        for number, (accuracy, latency) in points.items()
    ]
    limits = [Limit("latency_ms", "<=", 3.0), Limit("latency_ms", "<=", 1.0, "phone")]
    order = ranked(trials, {"accuracy": "maximize", "latency_ms": "minimize"}, limits)
    assert [trial.number for trial in order] == [0, 2, 4, 1, 3]


def test_stacks_that_keep_the_limits_climb_first(tmp_path: Path) -> None:
    def share_of_slow(folder: Path, **limits: object) -> float:
        folder.mkdir()
        asked = searched_to_the_end(opened(ladder(folder, **limits), folder / "w"), steady)
        tuned = on_rung(asked, 16)
        assert len(tuned) >= 8
        return sum(steady(stack(configuration)) >= slow for configuration in tuned) / len(tuned)

    latencies = sorted(steady(c) for c in ladder(tmp_path).lowest.configurations())
    slow = latencies[len(latencies) // 2]
    assert share_of_slow(tmp_path / "without") < 0.2
    # A few climb before any that keeps the limit has been judged.
    assert share_of_slow(tmp_path / "within", limits=[f"latency_ms >= {slow}"]) > 0.8


@pytest.mark.parametrize(
    ("axes", "search", "message"),
    [
        ({}, {"rungs": "tuning_trails"}, "rungs 'tuning_trails' is no tuning budget; allowed: tuning_trials, "
         "tuning_seconds; did you mean 'tuning_trials'?"),
        ({}, {"rungs": "tuning_seconds"}, "rungs 'tuning_seconds' needs a list of two budgets or more"),
        ({}, {"rungs": "tuning_trials", "reduction": 1}, "reduction"),
        ({}, {"reduction": 3}, "it needs rungs"),
    ],
)  # fmt: skip
def test_rungs_that_make_no_sense_are_refused(
    axes: dict[str, object], search: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = spaces.write(tmp_path, {**AXES, **axes}, **search)
    with pytest.raises(SpaceError) as error:
        space.load(path)
    assert message in str(error.value)
