"""The search: a full grid against its configurations one by one, samplers on that grid's table, and what a trial costs.

Claim, on two cores of a Xeon with AVX-512: a full grid of 1,032 stacks takes 24 minutes, 0.054 of what they would take
one by one. Until its front has 95 % of the hypervolume of the grid's, the default sampler needs 8.7 % of the grid's
cost (medians of 20 seeds), tpe 17, nsga3 20, nsga2 21, qmc 23 and random 24; with latency first 11.2, and the others
more as well: on the digits, fine-tuning takes a fifth of a grid's time, and what is measured before it is built once
more. In 20 random orders of the whole grid, latency first leaves out 168 of 576 stacks, none of them on the front, and
5 % of the cost.
With the default sampler a trial costs 13 ms besides its stages with 10,000 on record and 21 ms with 100,000, where the
study takes 820 MiB and 63 s to open; with 100, while a Gaussian process proposes, 0.23 s.
The front of a million records on three devices is found in 0.3 s (moocore 0.3), with probabilities and ties in 0.8 s
(two cores of an AMD EPYC, moocore 0.3.2).
A study of two minutes, most of it training, takes 1.13 of the local engine's time on Ray (2.60, one round): its start
and stop, and that each of Ray's processes imports torch and TVM anew.

Sample: `grid` evaluates every configuration of `GRID` on the digits, on this machine, and compares the wall-clock time
with the sum over all configurations of what their stages' executions took: what each would cost with a store of its
own. It goes on with an interrupted grid, so that its time is that of all runs together. `replay` asks every sampler
for configurations of that grid, --seeds times, and answers from the grid's table: its rows are medians over the seeds,
until the front found so far has 95 % of the hypervolume of the grid's, latencies and sizes by their logarithms. An
evaluation costs what the executions took that none before it in the study shared. `latency_first` goes through all of
the grid in --seeds random orders. Both first measure, once, what latency first measures and a grid does not.
`engines` runs one small study, most of whose time is training, on as many cores by the local engine and by Ray in
turns, each time in a workspace of its own; Ray's start counts. `overhead` fills a study's tables with random records,
opens it in a process of its own and asks for 30 more trials.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from explorer.core import plugins
from explorer.core.errors import Failure
from explorer.results.progress import live
from explorer.search import search as engines
from explorer.search.grids import grid
from explorer.space import space
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.benchmarks.common import Row, environment, print_table, write_json
from tests.benchmarks.search_overhead import overhead_rows
from tests.benchmarks.search_replay import Table, outcomes, replay_rows, screen_rows

GRID = """
name = "grid"
[axes]
dataset = "digits"
model = ["mobilenetv1", "mobilenetv2", "resnet18"]
width = [0.125, 0.25, 0.375, 0.5]
compression = ["none", "weight_pruning", "channel_pruning", "float16", "int8"]
ratio = [0.5, 0.75, 0.9]
algorithm = ["direct", "gemm", "spatial_pack", "winograd"]
format = ["dense", "csr"]
threads = [1, 2]
[objectives]
accuracy = "maximize"
latency_ms = "minimize"
size_bytes = "minimize"
[search]
sampler = "grid"
"""

KINDS = ("grid", "latency_first", "replay", "engines", "overhead", "front")
# Of the networks that the engines train.
ENGINE_EPOCHS = 60
# That are asked for and told, of which the medians are taken.
OVERHEAD_TRIALS = 30


def grid_rows(searched: Space, workspace: Workspace) -> list[Row]:
    """Evaluate the grid; return how long that took and how long each configuration alone would have taken."""
    start = time.perf_counter()
    with live.Progress(_console()) as told:
        grid.run(searched, workspace, told)
    seconds = time.perf_counter() - start
    spent = workspace.root / "seconds"
    before = float(spent.read_text()) if spent.exists() else 0.0
    spent.write_text(str(before + seconds))
    table = outcomes(searched, workspace, latency_first=False)
    alone = sum(own for outcome in table.values() for _, own in outcome.stages)
    failed = sum(isinstance(outcome.result, Failure) for outcome in table.values())
    total = before + seconds
    return [
        {
            "kind": "grid", "configurations": len(table), "failed": failed, "seconds": round(total, 1),
            "seconds_alone": round(alone, 1), "ratio": round(total / alone, 4),
        }
    ]  # fmt: skip


def engine_rows(rounds: int) -> list[Row]:
    """Return what a study takes by the local engine and by Ray."""
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    for _ in range(rounds):
        for engine, taken in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                path = studies.write_space(Path(folder), epochs=ENGINE_EPOCHS)
                start = time.perf_counter()
                engines.run(
                    space.load(path), Workspace(Path(folder) / "workspace"), studies.Events(), engines.Where(engine)
                )
                taken.append(time.perf_counter() - start)
    local = median(seconds["local"])
    return [
        {
            "kind": "engine", "engine": engine, "rounds": rounds, "seconds": round(median(taken), 1),
            "ratio_to_local": round(median(taken) / local, 3),
        }
        for engine, taken in seconds.items()
    ]  # fmt: skip


def front_rows(count: int) -> list[Row]:
    """Return how long the front of so many records takes, and how long with its probabilities and ties."""
    import pandas as pd

    from explorer.fronts import certainty, pareto

    drawn = np.random.default_rng(0)
    objectives = {"accuracy": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"}
    latency = drawn.lognormal(0, 1, count)
    frame = pd.DataFrame(
        {
            "state": "complete", "device": drawn.choice(["local", "rpi4", "jetson"], count),
            "accuracy": drawn.uniform(0.5, 1.0, count), "latency_ms": latency,
            "latency_low_ms": 0.98 * latency, "latency_high_ms": 1.02 * latency,
            "size_bytes": drawn.integers(10**4, 10**8, count),
        }
    )  # fmt: skip
    start = time.perf_counter()
    found = pareto.front(frame, objectives)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    ties = certainty.front_with_ties(frame, objectives)["tied"].sum()  # type: ignore[arg-type]
    with_ties = time.perf_counter() - start
    return [
        {
            "kind": "front", "records": count, "on_front": len(found), "seconds": round(seconds, 3),
            "ties": int(ties), "seconds_with_ties": round(with_ties, 3),
        }
    ]  # fmt: skip


def _console() -> Any:
    from explorer.results.console import Plain

    return Plain()


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kinds", nargs="+", default=["grid", "latency_first", "replay", "engines", "overhead", "front"]
    )
    parser.add_argument("--samplers", nargs="+", default=list(plugins.names("sampler")))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="of the engines")
    parser.add_argument("--records", type=int, default=1_000_000, help="of the front")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 10_000, 100_000], help="of trials on record")
    parser.add_argument("--workspace", type=Path, metavar="FOLDER", help="keep the grid here, take it from here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    facts = environment(("optuna", "moocore", "apache-tvm", "torch", "numpy"))
    rows: list[Row] = []
    table: Table = {}
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.workspace or Path(folder) / "workspace"
        file = Path(folder) / "grid.toml"
        file.write_text(GRID)
        searched, workspace = space.load(file).whole, Workspace(root)
        for kind in arguments.kinds:
            if kind == "grid":
                made = grid_rows(searched, workspace)
            elif kind in ("latency_first", "replay"):
                if not workspace.database.exists():
                    parser.error("this needs the grid: --kinds grid replay, or its --workspace")
                table = table or outcomes(searched, workspace, latency_first=True)
                if kind == "replay":
                    made = replay_rows(searched, table, arguments.samplers, arguments.seeds)
                else:
                    made = screen_rows(searched, table, arguments.seeds)
            elif kind == "engines":
                made = engine_rows(arguments.rounds)
            elif kind == "overhead":
                made = overhead_rows(arguments.counts, arguments.samplers, OVERHEAD_TRIALS)
            elif kind == "front":
                made = front_rows(arguments.records)
            else:
                parser.error(f"unknown kind {kind}")
            print_table(made)
            rows += made
            if arguments.json:
                write_json(arguments.json, facts, rows)


if __name__ == "__main__":
    main()
