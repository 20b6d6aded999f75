"""Shows a Ray Tune experiment over a search space: OptunaSearch proposes, and each trial of Tune evaluates one stack.

pip install "dlas-explorer[ray]"
python examples/ray_tune.py --samples 20
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ray import tune
from ray.tune.search.optuna import OptunaSearch

import explorer

arguments = argparse.ArgumentParser(description="Search a space with Ray Tune.")
arguments.add_argument("--space", default="quickstart", help="name of a bundled space, or a file")
arguments.add_argument("--workspace", default="workspace", help="folder that keeps what stages computed")
arguments.add_argument("--samples", type=int, default=20, help="stacks to evaluate")
given = arguments.parse_args()
workspace = Path(given.workspace).absolute()  # Tune's trials run in folders of their own


def stack(config: dict[str, dict[str, object]]) -> dict[str, object]:
    """Return what the stack that Optuna proposed reaches."""
    return explorer.evaluate(given.space, config["configuration"], workspace)


search = OptunaSearch(explorer.tune_space(given.space), metric=["accuracy", "latency_ms"], mode=["max", "min"])
results = tune.Tuner(stack, tune_config=tune.TuneConfig(search_alg=search, num_samples=given.samples)).fit()
for result in results:
    reached, choices = result.metrics, result.config["configuration"]
    print(f"{reached['accuracy']:.2%} in {reached['latency_ms']:.3f} ms: {choices}")
