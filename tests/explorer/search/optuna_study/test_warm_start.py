"""What earlier studies of a workspace have on record informs the sampler of a new one, the same after every resume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.core import plugins
from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.core.settings import Settings, TrainSettings
from explorer.search.optuna_study.study import Study
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.explorer.spaces import FEW_SAMPLERS, SMALL, make

LEARNING = [name for name in plugins.names("sampler") if plugins.literal("sampler", name, "LEARNS", default=False)]
AXES = {**SMALL, "algorithm": ["direct", "gemm", "spatial_pack"], "width": [0.25, 0.5, 0.75]}
GOOD = {"model": "resnet18", "width": 0.5, "algorithm": "gemm", "compression": "channel_pruning", "threads": 2}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "w").mkdir()
    return Workspace(tmp_path / "w")


def space(folder: Path, name: str, axes: Any = AXES, **search: Any) -> Space:
    options = {"sampler": "random", "trials": 40, **search}
    return replace(make(folder, axes, **options), name=name)


def opened(searched: Space, workspace: Workspace) -> Study:
    return Study(searched, workspace, Records(workspace.url), {"files of data set digits": "a"})


def good(configuration: Configuration) -> int:
    """Return how many choices are the best ones, which nothing but a look at the results can tell."""
    return sum(getattr(configuration, axis) == choice for axis, choice in GOOD.items())


def result(configuration: Configuration) -> Record:
    own = good(configuration)
    return Record({"accuracy": 0.5 + 0.1 * own, "latency_ms": 6.0 - own, "size_bytes": 1000 - 100 * own})


def searched(study: Study, trials: int) -> list[Configuration]:
    asked = []
    for _ in range(trials):
        found = study.ask()
        assert found is not None
        number, configuration = found
        study.tell(number, configuration, result(configuration), 0.1)
        asked.append(configuration)
    return asked


@pytest.mark.parametrize(
    "sampler",
    [pytest.param(name, marks=pytest.mark.nightly if name == "gp" else ()) for name in LEARNING if name != "auto"],
)
def test_a_sampler_that_learns_begins_better_than_at_random(sampler: str, tmp_path: Path, workspace: Workspace) -> None:
    searched(opened(space(tmp_path, "earlier"), workspace), 40)

    def mean(place: Workspace, name: str) -> float:
        studies = (opened(space(tmp_path, f"{name} {seed}", sampler=sampler, seed=seed), place) for seed in range(3))
        own = [good(configuration) for study in studies for configuration in searched(study, 8)]
        return sum(own) / len(own)

    (tmp_path / "cold").mkdir()
    cold = opened(space(tmp_path, "cold", sampler=sampler, warm_start=False), Workspace(tmp_path / "cold"))
    assert cold.warm == 0
    at_random = [good(configuration) for configuration in searched(cold, 8)]
    assert mean(workspace, "warm") > sum(at_random) / len(at_random) + 0.1


@pytest.mark.parametrize("sampler", FEW_SAMPLERS)
def test_a_study_opened_anew_begins_with_the_same_trials(sampler: str, tmp_path: Path) -> None:
    proposed: list[Iterable[Configuration]] = []
    for name in ("undisturbed", "resumed"):
        (tmp_path / name).mkdir()
        place = Workspace(tmp_path / name)
        earlier = opened(space(tmp_path, "earlier"), place)
        searched(earlier, 12)
        new = space(tmp_path, "new", sampler=sampler)
        study = opened(new, place)
        assert study.warm == 12
        proposals = []
        for _ in range(10):
            proposals += searched(study, 1)
            if name == "resumed":
                searched(earlier, 1)  # which comes too late for the new study
                study = opened(new, place)
                assert study.warm == 12
        proposed.append(proposals)
    assert proposed[0] == proposed[1]


def test_what_an_earlier_study_evaluated_may_be_proposed_again(tmp_path: Path, workspace: Workspace) -> None:
    axes = {**SMALL, "compression": ["none"], "ratio": [0.5]}
    del axes["ratio"]
    for name in ("earlier", "new"):
        study = opened(space(tmp_path, name, axes, sampler="nsga2", trials=8), workspace)
        assert len({c.id for c in searched(study, study.space.count)}) == study.space.count


def test_only_complete_trials_of_the_same_space_and_settings_count(tmp_path: Path, workspace: Workspace) -> None:
    searched_before = opened(space(tmp_path, "wider", {**AXES, "width": [0.25, 1.0]}), workspace)
    inside = sum(configuration.width == 0.25 for configuration in searched(searched_before, 20))
    number, configuration = searched_before.ask() or pytest.fail("it has more")
    searched_before.tell(number, configuration, Failure("measure", "crash", "gone"), 0.1)
    other = Settings(train=TrainSettings(epochs=3))
    searched(opened(replace(space(tmp_path, "trained less"), settings=other), workspace), 5)
    own = Study(space(tmp_path, "other files"), workspace, Records(workspace.url), {"files of data set digits": "b"})
    searched(own, 5)
    macs = replace(space(tmp_path, "macs"), objectives={"accuracy": "maximize", "macs": "minimize"})
    assert opened(macs, workspace).warm == 0, "none of the trials has them on record"
    assert 0 < inside < 20
    assert opened(space(tmp_path, "new"), workspace).warm == inside


def test_with_rungs_the_lowest_one_counts(tmp_path: Path, workspace: Workspace) -> None:
    axes = {**SMALL, "tuning_trials": [0, 8]}
    untuned = sum(c.tuning_trials == 0 for c in searched(opened(space(tmp_path, "earlier", axes), workspace), 30))
    study = opened(space(tmp_path, "new", axes, sampler="tpe", rungs="tuning_trials"), workspace)
    assert study.warm == untuned > 0


def test_the_latest_trials_are_chosen_where_there_are_many(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.search.optuna_study.warm_start.MOST_TRIALS", 5)
    for name in ("first", "second"):
        searched(opened(space(tmp_path, name, warm_start=False), workspace), 4)
    study = opened(space(tmp_path, "new"), workspace)
    assert study.warm == 5
    assert study._database.notes["earlier trials"] == {"first": [3], "second": [0, 1, 2, 3]}
