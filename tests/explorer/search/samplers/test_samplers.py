from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.study import StudyDirection

from explorer.core import plugins
from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from explorer.search.optuna_database import TOLD
from explorer.search.samplers import gp
from explorer.space.limits import violation
from explorer.space.space import Space
from tests.explorer.spaces import SMALL, make, toml

optuna.logging.set_verbosity(optuna.logging.ERROR)

SAMPLERS = plugins.names("sampler")
MODELLED = ("gp", "nsga2", "nsga3", "tpe")  # auto begins as gp
ALGORITHMS = ("direct", "gemm", "spatial_pack", "winograd")
DIRECTIONS: tuple[Literal["maximize", "minimize"], ...] = ("maximize", "minimize")
CONSTRAINTS = [{"when": {"model": "mobilenetv2"}, "require": {"threads": [1]}}]


def measured(configuration: Configuration) -> list[float]:
    """Stand in for a trial: a front with a trade-off, on which few of the configurations lie."""
    removed = configuration.ratio or 0.0
    best = {"none": "gemm", "weight_pruning": "direct", "channel_pruning": "gemm"}[configuration.compression]
    wide = configuration.model == "resnet18"
    accuracy = 0.9 + 0.05 * wide - 0.05 * removed - 0.2 * (configuration.compression == "weight_pruning")
    slowdown = 1 + (configuration.algorithm != best)
    return [accuracy, (2.0 + 6 * wide) * (1 - removed) * slowdown / configuration.threads]


def study_of(space: Space, storage: str | None = None, seed: int = 3) -> optuna.Study:
    sampler = plugins.load("sampler", space.sampler).build(space, seed)
    return optuna.create_study(
        study_name="x", directions=DIRECTIONS, sampler=sampler, storage=storage, load_if_exists=True
    )


def ask(space: Space, study: optuna.Study) -> tuple[optuna.Trial, Configuration]:
    trial = study.ask()
    configuration = space.suggest(trial)
    trial.set_user_attr("configuration", configuration.id)
    return trial, configuration


def search(space: Space, study: optuna.Study, trials: int) -> list[dict[str, Any]]:
    proposed = []
    for _ in range(trials):
        trial, configuration = ask(space, study)
        proposed.append(trial.params)
        if trial.number % 7 == 3:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, measured(configuration))
    return proposed


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/study.db"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_proposal_is_valid(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=40)
    valid = {configuration.id for configuration in space.configurations()}
    study = study_of(space)
    search(space, study, 40)
    assert {trial.user_attrs["configuration"] for trial in study.trials} <= valid


@pytest.mark.parametrize("sampler", [sampler for sampler in SAMPLERS if sampler != "grid"])
def test_continuous_axes_are_searched(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, {**SMALL, "ratio": {"low": 0.2, "high": 0.9}}, CONSTRAINTS, sampler=sampler, trials=30)
    ratios = [params["ratio"] for params in search(space, study_of(space), 30) if "ratio" in params]
    assert all(0.2 <= ratio <= 0.9 for ratio in ratios)
    assert len(set(ratios)) > 5


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stop", [1, 12])
def test_a_study_reloaded_from_its_database_goes_on_as_if_undisturbed(sampler: str, stop: int, tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=24)
    undisturbed = search(space, study_of(space), 16)
    first = search(space, study_of(space, sqlite(tmp_path)), stop)
    second = search(space, study_of(space, sqlite(tmp_path)), 16 - stop)
    assert first + second == undisturbed


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stop", [5, 9])  # nsga2: in the first generation, and as the first of the second
def test_a_trial_killed_between_two_choices_is_completed_as_it_would_have_been(
    sampler: str, stop: int, tmp_path: Path
) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=24)
    undisturbed = search(space, study_of(space), stop + 1)
    killed = study_of(space, sqlite(tmp_path))
    search(space, killed, stop)
    trial = killed.ask()
    trial.suggest_categorical("model", space.axes["model"].choices)  # type: ignore[arg-type]
    study = study_of(space, sqlite(tmp_path))
    resumed = optuna.Trial(study, study.trials[-1]._trial_id)
    space.suggest(resumed)
    assert resumed.params == undisturbed[-1]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_do_not_depend_on_the_process(sampler: str, tmp_path: Path) -> None:
    """Sets of strings are ordered differently in every process."""
    make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=24)
    code = (
        "from pathlib import Path; from explorer import space; from tests.explorer.test_samplers import *;"
        f"s = space.load(Path({toml(str(tmp_path / 'drawn.toml'))})); print(search(s, study_of(s), 20))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("sampler", [sampler for sampler in SAMPLERS if sampler != "grid"])
def test_another_seed_gives_another_study(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, sampler=sampler, trials=20)
    assert search(space, study_of(space, seed=1), 20) != search(space, study_of(space, seed=2), 20)


def test_the_grid_visits_every_configuration_once_in_order(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler="grid")
    study = study_of(space)
    search(space, study, space.count)
    visited = [trial.user_attrs["configuration"] for trial in study.trials]
    assert visited == [configuration.id for configuration in space.configurations()]


def test_the_grid_gives_parallel_trials_different_configurations(tmp_path: Path) -> None:
    space = make(tmp_path, sampler="grid")
    study = study_of(space)
    running = [ask(space, study)[1] for _ in range(3)]
    assert running == list(space.configurations())[:3]


def test_the_grid_refuses_continuous_axes(tmp_path: Path) -> None:
    space = make(tmp_path, {**SMALL, "ratio": {"low": 0.2, "high": 0.9}}, sampler="grid")
    with pytest.raises(SpaceError, match="give its range a step"):
        study_of(space)


def found_of_the_front(space: Space, seed: int, trials: int) -> float:
    """Return which share of the true front a study finds whose duplicate proposals are pruned, as `search` does."""
    points = {tuple(measured(configuration)) for configuration in space.configurations()}
    front = {p for p in points if not any(q[0] >= p[0] and q[1] <= p[1] and q != p for q in points)}
    study = study_of(space, seed=seed)
    seen: dict[str, tuple[float, ...]] = {}
    while len(seen) < trials and len(study.trials) < 5 * trials:
        trial, configuration = ask(space, study)
        if configuration.id in seen:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            seen[configuration.id] = tuple(measured(configuration))
            study.tell(trial, seen[configuration.id])
    return len(front & set(seen.values())) / len(front)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", MODELLED)
def test_learning_from_the_history_beats_chance(sampler: str, tmp_path: Path) -> None:
    axes = {**SMALL, "ratio": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "threads": [1, 2, 4]}
    spaces = [make(tmp_path, axes, CONSTRAINTS, sampler=name, trials=48) for name in (sampler, "random")]
    learnt, chance = (sum(found_of_the_front(space, seed, 48) for seed in range(6)) for space in spaces)
    assert learnt > 1.25 * chance


def share_kept(space: Space, seed: int, trials: int, told: bool = True) -> float:
    """Return which share of the second half of a study's proposals keeps the limits, of which it may not be told."""
    study = study_of(space, seed=seed)
    kept = []
    for _ in range(trials):
        trial, configuration = ask(space, study)
        accuracy, latency = measured(configuration)
        values = {"accuracy": accuracy, "latency_ms": latency}
        for limit in space.limits if told else ():
            trial.set_constraint(str(limit), limit.violation(configuration.device, values))
        study.tell(trial, [accuracy, latency])
        kept.append(not violation(space.limits, configuration.device, values))
    return sum(kept[trials // 2 :]) / (trials - trials // 2)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", MODELLED)
def test_stacks_that_keep_the_limits_are_proposed_most(sampler: str, tmp_path: Path) -> None:
    axes = {**SMALL, "ratio": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "threads": [1, 2, 4]}
    # Both ends of the front are out, and 11 % of the stacks are within: what is accurate is slow, what is fast is not.
    limits = ["latency_ms <= 1", "accuracy >= 0.88"]
    spaces = [make(tmp_path, axes, sampler=name, trials=48, limits=limits) for name in (sampler, "random")]
    learnt, chance = (sum(share_kept(space, seed, 48) for seed in range(5)) for space in spaces)
    unaware = sum(share_kept(spaces[0], seed, 48, told=False) for seed in range(5))
    assert learnt > 1.15 * max(chance, unaware)


def test_the_process_takes_what_breaks_a_limit_for_worse_than_all_else() -> None:
    values = np.array([[0.9, 1.0], [0.99, 50.0], [0.5, 3.0], [0.95, 900.0], [0.95, 2.0]])
    broken = np.array([0.0, 9.0, 0.0, 179.0, 0.0])
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    weights = np.array([0.5, 0.5])
    ends = np.stack([0.99 * values, 1.01 * values], axis=2)
    scores, deviations = gp.scored(values, ends, broken, directions, weights)
    kept = broken == 0
    assert scores[kept] == pytest.approx(gp.scalarised(values[kept], ends[kept], directions, weights)[0])
    assert deviations[kept] == pytest.approx(gp.scalarised(values[kept], ends[kept], directions, weights)[1])
    assert scores[kept].max() < scores[1] < scores[3] <= scores[kept].max() + 1
    assert np.argsort(gp.scored(values, ends, broken + 1, directions, weights)[0])[-2:].tolist() == [1, 3]


def test_the_process_trusts_values_as_far_as_their_intervals_are_narrow() -> None:
    """Of a straight line through noisy scores, the far end is the better one, and the lucky outlier is not."""
    known = np.linspace(0, 1, 11)[:, np.newaxis]
    scores = 1 - known[:, 0]
    scores[2] = 0.0
    candidates = np.array([[0.22], [0.98]])
    trusted, doubted = (
        gp.expected_improvement(known, scores, np.where(np.arange(11) == 2, noise, 1e-3), candidates)
        for noise in (1e-3, 1.0)
    )
    assert np.argmax(doubted) == 1
    assert trusted[0] / trusted.sum() > 2 * doubted[0] / doubted.sum()


def test_deviations_are_those_of_the_weighted_objectives() -> None:
    values = np.array([[0.9, 1.0], [0.8, 10.0]])
    ends = np.array([[[0.88, 0.92], [1.0, 1.0]], [[0.8, 0.8], [9.0, 11.0]]])
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    _, deviations = gp.scalarised(values, ends, directions, np.array([0.5, 0.5]))
    widths = np.array([0.04 / 0.1, np.log(11 / 9) / np.log(10)])
    assert deviations == pytest.approx((1 + gp.AUGMENTED) * 0.5 * widths / (2 * 1.96))


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_genetic_studies_of_many_generations_are_gone_on_with(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=1)
    study = study_of(space)
    search(space, study, 12)
    [generation] = [name for name in study.trials[-1].system_attrs if name.endswith("generation")]
    past = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))[-1]
    resumed = study_of(space)
    for number in range(400 * 8):  # more than Python lets a function call itself
        past.system_attrs = {**past.system_attrs, generation: number // 8}
        resumed.add_trial(past)
    trial, _ = ask(space, resumed)
    assert resumed.trials[-1].system_attrs[generation] == 400
    assert trial.relative_params


def test_of_stacks_that_promise_as_much_the_cheaper_one_is_tried(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, sampler="gp", trials=20)
    study, networks = study_of(space), set[str]()
    for _ in range(6):
        trial, configuration = ask(space, study)
        trial.set_user_attr(TOLD, {"seconds": 1.0 + 20 * (configuration.model not in networks)})
        networks.add(configuration.model)
        study.tell(trial, measured(configuration))
        if len(networks) == 1:  # and stays the only one
            trained = configuration
    before = [each for each in study.trials if each.params["model"] == trained.model]
    sampler = gp._ParEGO(gp._Memory(space), seed=0)
    others = [replace(trained, algorithm="gemm" if trained.algorithm == "direct" else "direct")]
    others += [replace(other, model={"resnet18": "mobilenetv2"}.get(trained.model, "resnet18")) for other in others]
    assert sampler._most_promising(before, others[::-1], np.array([1.0, 1.0])) == others[0]
    assert sampler._most_promising(before, others[::-1], np.array([100.0, 1.0])) == others[1]


def test_many_trials_are_proposed_by_the_genetic_algorithm_from_the_best_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.search.samplers.auto.FEW", 16)
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler="auto", trials=32)
    study = study_of(space)
    search(space, study, 24)
    generations = [
        [value for name, value in trial.system_attrs.items() if name.endswith(":generation")] for trial in study.trials
    ]
    assert generations == [[]] * 16 + [[1]] * 8
    cached = study._storage.get_study_system_attrs(study._study_id)
    (parents,) = (ids for name, ids in cached.items() if name.endswith(":1"))
    assert parents
    assert max(parents) < 16
