"""What every sampler must do; a new file in ``explorer/search/samplers`` is tested by being there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest

from explorer.core import plugins
from explorer.search.optuna_study.optuna_database import CONFIGURATION
from explorer.search.optuna_study.sampling import SamplerPlugin
from explorer.search.samplers import auto, gp, grid, nsga2, nsga3, qmc, random, tpe
from explorer.space.limits import violation
from explorer.space.space import Space
from tests.explorer.simulated import CONSTRAINTS, ask, measured, search, study_of
from tests.explorer.spaces import SMALL, make

SAMPLERS = plugins.names("sampler")
# Sampler auto begins as gp: tests of gp need no second run with it by day.
NOT_TWICE = [pytest.param(name, marks=pytest.mark.nightly if name == "auto" else ()) for name in SAMPLERS]
MODELLED = ("gp", "nsga2", "nsga3", "tpe")  # auto begins as gp
PLUGINS: tuple[SamplerPlugin, ...] = (auto, gp, grid, nsga2, nsga3, qmc, random, tpe)  # as the type checker sees them


def test_every_file_has_the_functions_of_a_sampler(tmp_path: Path) -> None:
    assert [plugin.__name__.rpartition(".")[2] for plugin in PLUGINS] == [*SAMPLERS]  # type: ignore[attr-defined]
    for name in SAMPLERS:
        assert plugins.defines("sampler", name, "build")
        assert isinstance(plugins.literal("sampler", name, "LEARNS", default=False), bool)
        built = plugins.load("sampler", name).build(make(tmp_path, sampler=name), seed=0)
        assert isinstance(built, optuna.samplers.BaseSampler)


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/study.db"


@pytest.mark.parametrize("sampler", NOT_TWICE)
def test_every_proposal_is_valid(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=40)
    valid = {configuration.id for configuration in space.configurations()}
    study = study_of(space)
    search(space, study, 40)
    assert {trial.user_attrs["configuration"] for trial in study.trials} <= valid


@pytest.mark.parametrize("sampler", [sampler for sampler in NOT_TWICE if "grid" not in sampler.values])
def test_continuous_axes_are_searched(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, {**SMALL, "ratio": {"low": 0.2, "high": 0.9}}, CONSTRAINTS, sampler=sampler, trials=16)
    ratios = [params["ratio"] for params in search(space, study_of(space), 12) if "ratio" in params]
    assert all(0.2 <= ratio <= 0.9 for ratio in ratios)
    assert len(set(ratios)) > 5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, Any]]]:
    """Return a function from a sampler to the 16 trials that its undisturbed study proposes; each study runs once."""

    @cache
    def proposed(sampler: str) -> list[dict[str, Any]]:
        space = make(tmp_path_factory.mktemp(sampler), SMALL, CONSTRAINTS, sampler=sampler, trials=24)
        return search(space, study_of(space), 16)

    return proposed


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_that_is_reloaded_and_killed_goes_on_as_if_undisturbed(
    sampler: str, undisturbed: Callable[[str], list[dict[str, Any]]], tmp_path: Path
) -> None:
    """It is reloaded after trials 1 and 12, and trials 5 and 9 are killed between two choices, then completed.

    Of nsga2 these two are in the first generation, and the first of the second.
    """
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=24)
    proposed = search(space, study_of(space, sqlite(tmp_path)), 1)
    for number in (5, 9):
        killed = study_of(space, sqlite(tmp_path))
        proposed += search(space, killed, number - len(proposed))
        killed.ask().suggest_categorical("model", space.axes["model"].choices)  # type: ignore[arg-type]
        study = study_of(space, sqlite(tmp_path))
        resumed = optuna.Trial(study, study.trials[-1]._trial_id)
        configuration = space.suggest(resumed)
        resumed.set_user_attr(CONFIGURATION, configuration.id)
        study.tell(resumed, measured(configuration))
        proposed.append(resumed.params)
    proposed += search(space, study, 12 - len(proposed))
    proposed += search(space, study_of(space, sqlite(tmp_path)), 4)
    assert proposed == undisturbed(sampler)


@pytest.fixture(scope="module")
def proposed_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What another process proposes, whose sets of strings are in another order; one line for each sampler."""
    folder = tmp_path_factory.mktemp("elsewhere")
    code = (
        f"import sys; from pathlib import Path; from {__name__} import *\n"
        "for sampler in SAMPLERS:\n"
        "    space = make(Path(sys.argv[1]), SMALL, CONSTRAINTS, sampler=sampler, trials=24)\n"
        "    print(search(space, study_of(space), 16))"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_do_not_depend_on_the_process(
    sampler: str, proposed_elsewhere: list[str], undisturbed: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Sets of strings are ordered differently in every process."""
    assert str(undisturbed(sampler)) == proposed_elsewhere[SAMPLERS.index(sampler)]


@pytest.mark.parametrize("sampler", [sampler for sampler in SAMPLERS if sampler != "grid"])
def test_another_seed_gives_another_study(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, sampler=sampler, trials=20)
    assert search(space, study_of(space, seed=1), 6) != search(space, study_of(space, seed=2), 6)


def found_of_the_front(space: Space, seed: int, trials: int) -> float:
    """Return which share of the true front a study finds whose duplicate proposals are pruned, as `search` does."""
    points = {tuple(measured(configuration)) for configuration in space.configurations()}
    front = {p for p in points if not any(q[0] >= p[0] and q[1] <= p[1] and q != p for q in points)}
    study = study_of(space, seed=seed)
    seen: dict[str, tuple[float, ...]] = {}
    for _ in range(5 * trials):
        trial, configuration = ask(space, study)
        if configuration.id in seen:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            seen[configuration.id] = tuple(measured(configuration))
            study.tell(trial, seen[configuration.id])
        if len(seen) == trials:
            break
    return len(front & set(seen.values())) / len(front)


# A mean over few seeds may have luck: more are drawn nightly.
FEW_SEEDS = [pytest.param(2, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.nightly)]
LARGER: dict[str, Any] = {**SMALL, "ratio": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "threads": [1, 2, 4]}


@pytest.fixture(scope="module")
def by_chance(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The share of the front that the sampler which learns nothing finds, by seed."""
    space = make(tmp_path_factory.mktemp("chance"), LARGER, CONSTRAINTS, sampler="random", trials=48)
    return [found_of_the_front(space, seed, 48) for seed in range(6)]


@pytest.mark.parametrize("seeds", FEW_SEEDS)
@pytest.mark.parametrize("sampler", MODELLED)
def test_learning_from_the_history_beats_chance(
    sampler: str, seeds: int, by_chance: list[float], tmp_path: Path
) -> None:
    space = make(tmp_path, LARGER, CONSTRAINTS, sampler=sampler, trials=48)
    learnt = sum(found_of_the_front(space, seed, 48) for seed in range(seeds)) / seeds
    assert learnt > 1.25 * sum(by_chance) / len(by_chance)


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


# Both ends of the front are out, and 11 % of the stacks are within: what is accurate is slow, what is fast is not.
WITHIN = ["latency_ms <= 1", "accuracy >= 0.88"]


@pytest.fixture(scope="module")
def kept_by_chance(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The share of proposals of the sampler which learns nothing that keeps the limits, by seed."""
    space = make(tmp_path_factory.mktemp("kept"), LARGER, sampler="random", trials=48, limits=WITHIN)
    return [share_kept(space, seed, 48) for seed in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler", [pytest.param(name, marks=pytest.mark.nightly if name == "gp" else ()) for name in MODELLED]
)
def test_stacks_that_keep_the_limits_are_proposed_most(
    sampler: str, kept_by_chance: list[float], tmp_path: Path
) -> None:
    space = make(tmp_path, LARGER, sampler=sampler, trials=48, limits=WITHIN)
    learnt, unaware = (sum(share_kept(space, seed, 48, told) for seed in range(5)) for told in (True, False))
    assert learnt > 1.15 * max(sum(kept_by_chance), unaware)
