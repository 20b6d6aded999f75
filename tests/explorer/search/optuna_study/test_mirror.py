"""The study in memory: what the sampler sees of each trial, under the number of its proposal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.core.configuration import Configuration
from explorer.search.optuna_study.mirror import Mirror
from explorer.search.optuna_study.optuna_database import EARLIER, PROMOTED, PROPOSAL, TOLD
from explorer.space.space import Space
from tests.explorer.spaces import make

FIRST = Configuration("digits", "resnet18")


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return make(tmp_path)


@pytest.fixture
def mirror() -> Mirror:
    return Mirror(RandomSampler(seed=0), ["maximize", "minimize"])


def seen(mirror: Mirror) -> list[FrozenTrial]:
    return mirror.study.get_trials()


def states(mirror: Mirror) -> list[TrialState]:
    return [trial.state for trial in seen(mirror)]


def test_a_proposal_is_a_running_trial_until_it_is_told(mirror: Mirror, space: Space) -> None:
    number, configuration = mirror.propose(space)
    assert (number, len(mirror)) == (0, 1)
    assert configuration in space.configurations()
    assert states(mirror) == [TrialState.RUNNING]
    mirror.tell(number, [0.9, 1.0], {"seconds": 1.0, "interval": [[0.8, 0.95], [1.0, 1.1]]}, {"accuracy >= 1": 0.1})
    (trial,) = seen(mirror)
    assert (trial.state, trial.values, trial.constraints) == (TrialState.COMPLETE, [0.9, 1.0], {"accuracy >= 1": 0.1})
    assert trial.user_attrs[TOLD]["interval"] == [[0.8, 0.95], [1.0, 1.1]]


def test_a_configuration_that_is_given_is_proposed(mirror: Mirror, space: Space) -> None:
    mirror.propose(space)
    assert mirror.propose(space, FIRST) == (1, FIRST)
    assert len(mirror) == 2


def test_what_is_dropped_or_fails_is_a_failed_trial(mirror: Mirror, space: Space) -> None:
    for _ in range(2):
        mirror.propose(space)
    mirror.drop(0)
    mirror.tell(1, None, {"seconds": 1.0}, {})
    assert states(mirror) == [TrialState.FAIL] * 2


def test_a_noted_trial_has_the_attributes_beside_its_parameters(mirror: Mirror, space: Space) -> None:
    number, _ = mirror.propose(space, FIRST)
    trial = mirror.noted(number, {PROPOSAL: number, PROMOTED: {"from": 3}})
    assert trial.user_attrs == {PROPOSAL: 0, PROMOTED: {"from": 3}}
    assert trial.params == space.parameters(FIRST)


def test_a_trial_that_nobody_proposed_may_begin(mirror: Mirror, space: Space) -> None:
    trial = mirror.begin(space.distributions(FIRST), {PROPOSAL: 0})
    assert (trial.state, trial.params, trial.user_attrs) == (
        TrialState.RUNNING,
        space.parameters(FIRST),
        {PROPOSAL: 0},
    )
    assert len(mirror) == 1
    mirror.tell(0, [0.9, 1.0], {}, {})
    assert states(mirror) == [TrialState.COMPLETE]


def test_a_trial_of_an_earlier_study_is_complete_and_known_as_such(mirror: Mirror, space: Space) -> None:
    mirror.add_earlier(
        space.distributions(FIRST), [0.9, 1.0], {"interval": [[0.8, 1.0], [1.0, 1.0]]}, {"macs <= 1": 2.0}
    )
    (trial,) = seen(mirror)
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs[EARLIER]
    assert trial.constraints == {"macs <= 1": 2.0}
    assert mirror.propose(space)[0] == 1


def stored(proposal: int, state: TrialState = TrialState.COMPLETE, **attributes: Any) -> FrozenTrial:
    values = [0.9, 1.0] if state == TrialState.COMPLETE else None
    return create_trial(
        state=state, values=values, user_attrs={PROPOSAL: proposal, **attributes}, constraints={"macs <= 9": 1.0}
    )


def test_stored_trials_stand_where_their_proposals_did_with_failed_ones_between(mirror: Mirror, space: Space) -> None:
    mirror.reflect(stored(0), {}, None, {})
    mirror.reflect(stored(3), {}, None, {})
    expected = [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL, TrialState.COMPLETE]
    assert states(mirror) == expected
    assert mirror.propose(space)[0] == len(mirror) - 1 == 4


def test_a_stored_trial_has_the_constraints_of_now(mirror: Mirror) -> None:
    mirror.reflect(stored(0), {"size_bytes <= 5": 0.5}, None, {})
    assert seen(mirror)[0].constraints == {"size_bytes <= 5": 0.5}


def test_a_stored_trial_has_the_values_that_are_on_record_now(mirror: Mirror) -> None:
    mirror.reflect(
        stored(0, told={"seconds": 3.0, "interval": [[0.9, 0.9], [0.8, 1.2]]}), {}, [0.9, 2.0], {"interval": []}
    )
    assert seen(mirror)[0].values == [0.9, 2.0]
    assert seen(mirror)[0].user_attrs["told"] == {"seconds": 3.0, "interval": []}


def test_the_sampler_learns_nothing_of_what_was_promoted_or_skipped(mirror: Mirror) -> None:
    mirror.reflect(stored(0, promoted={"from": 0}), {}, None, {})
    mirror.reflect(stored(1, TrialState.PRUNED), {}, None, {})
    mirror.reflect(stored(2, TrialState.RUNNING), {}, None, {})
    assert states(mirror) == [TrialState.FAIL, TrialState.FAIL, TrialState.RUNNING]
    assert not seen(mirror)[0].params
