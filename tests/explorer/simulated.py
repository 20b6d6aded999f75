"""Studies whose trials cost nothing: a made-up front with a trade-off, searched by a sampler alone."""

from __future__ import annotations

from typing import Any, Literal

import optuna

from explorer.core import plugins
from explorer.core.configuration import Configuration
from explorer.search.optuna_study.optuna_database import CONFIGURATION
from explorer.space.space import Space

optuna.logging.set_verbosity(optuna.logging.ERROR)

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
    trial.set_user_attr(CONFIGURATION, configuration.id)
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
