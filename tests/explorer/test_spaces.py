"""The space as Ray Tune's searcher takes it; `tests/explorer/search/grids/test_planning.py` has plans and counts."""

from __future__ import annotations

from pathlib import Path

import pytest

import explorer
from explorer.core.configuration import AXES, Configuration
from explorer.space import space
from tests.explorer.spaces import SMALL, write


def test_ray_tunes_searcher_draws_configurations_of_the_space(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dlas-explorer[ray]'")
    from ray.tune.search.optuna import OptunaSearch

    path = write(tmp_path, SMALL)
    valid = {configuration.id for configuration in space.load(path).configurations()}
    search = OptunaSearch(explorer.tune_space(path), metric=["accuracy", "latency_ms"], mode=["max", "min"])
    search.save(str(tmp_path / "searcher"))  # as Ray does after every trial
    drawn = set()
    for number in range(20):
        config = search.suggest(f"{number}")
        assert config
        assert tuple(config["configuration"]) == AXES
        drawn.add(Configuration.from_dict(config["configuration"]).id)
        search.on_trial_complete(f"{number}", {"accuracy": 0.9, "latency_ms": 1.0 + number})
    assert drawn <= valid
    assert len(drawn) > 5
