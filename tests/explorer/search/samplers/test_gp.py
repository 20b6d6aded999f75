"""The Gaussian process: what it takes for better, how far it trusts a value, and what a stack costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.study import StudyDirection

from explorer.core.configuration import Configuration
from explorer.search.optuna_study.optuna_database import TOLD
from explorer.search.samplers import gp
from tests.explorer.simulated import ask, measured, study_of
from tests.explorer.spaces import SMALL, make


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


def test_features_are_numbers_for_numbers_and_one_per_choice(tmp_path: Path) -> None:
    axes = make(tmp_path, {**SMALL, "ratio": {"low": 0.2, "high": 0.8}}).axes
    one = gp.features(Configuration("digits", "resnet18", compression="weight_pruning", ratio=0.5, threads=2), axes)
    expected = [
        *(0, 1),  # model
        *(0, 1, 0),  # compression
        0.5,  # ratio
        *(1, 0),  # algorithm
        1,  # threads as a number
        *(0, 1),  # and as choices
    ]
    assert one.tolist() == pytest.approx(expected)
    none = gp.features(Configuration("digits", "mobilenetv2", algorithm="gemm", threads=1), axes)
    assert none[5] == 0, "there is no ratio"
    assert none[6:8].tolist() == [0, 1]
