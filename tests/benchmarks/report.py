"""A report of a study: what it takes to answer all questions and to write the page.

Claim: a report of 1,000 trials takes 6.6 s and 322 MiB, of 100,000 trials 22 s and 1.2 GiB (asked: 20 s, and 120 s with
2 GiB; two cores of an AMD EPYC, nothing beside it; pandas 3.1, scikit-learn 1.9, plotly 7.1).

Sample: one report for each size, in a process of its own that opens the study, answers and writes the page and the next
space, its imports counted; `mib` is the most memory that it held. The records are synthetic, drawn at random over a
space with two devices, two formats and two tuning budgets: their values mean nothing, and only the size is that of a
study. About a third of the stacks are drawn as counterparts of another one, equal but for one axis, so that every
question has pairs.
"""

from __future__ import annotations

import argparse
import datetime
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import sqlalchemy as sa

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
import explorer
from explorer.core.configuration import Configuration, why_invalid
from explorer.search.optuna_study.study import Study
from explorer.space import space
from explorer.workspace.database import schema
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests.benchmarks.common import Row, environment, print_table, write_json
from tests.benchmarks.search_overhead import ROWS

# Which the records are drawn from; the ratios are finer than a study's, so that there are enough configurations.
CHOICES: dict[str, list[Any]] = {
    "model": ["mobilenetv1", "mobilenetv2", "resnet18"],
    "width": [0.125 + 0.025 * index for index in range(16)],
    "compression": ["none", "weight_pruning", "channel_pruning", "float16", "int8"],
    "ratio": [0.5 + 0.025 * index for index in range(19)],
    "algorithm": ["direct", "gemm", "spatial_pack", "winograd"],
    "format": ["dense", "csr"],
    "tuning_trials": [0, 64],
    "threads": [1, 2, 4],
    "device": ["local", "board"],
}
SPACE = """
name = "drawn"
[axes]
dataset = "digits"
model = ["mobilenetv1", "mobilenetv2", "resnet18"]
[objectives]
accuracy = "maximize"
latency_ms = "minimize"
size_bytes = "minimize"
"""


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 100_000], help="on record")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for trials in arguments.trials:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), trials)
            # In a process of its own: its memory and its imports are the report's.
            with get_context("spawn").Pool(1) as pool:
                start = time.perf_counter()
                found = pool.apply(write, (Path(folder),))
                seconds = time.perf_counter() - start
        rows.append({"trials": trials, "seconds": round(seconds, 1), **found})
    print_table(rows)
    if arguments.json:
        write_json(arguments.json, environment(("pandas", "plotly", "scikit-learn", "numpy")), rows)


def write(folder: Path) -> Row:
    """Write the report of the study in `folder`; return what that took, and the page's megabytes."""
    page = explorer.report(folder / "report.html", folder / "workspace")
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "mib": used.ru_maxrss >> (20 if sys.platform == "darwin" else 10),
        "page_mb": round(page.stat().st_size / 1e6, 1),
    }


def fill(folder: Path, trials: int) -> None:
    """Put so many finished trials on record in the workspace of `folder`."""
    file, workspace = folder / "space.toml", Workspace(folder / "workspace")
    file.write_text(SPACE)
    workspace.root.mkdir()
    records = Records(workspace.url)
    Study(space.load(file), workspace, records)
    now, rows = datetime.datetime.now(datetime.UTC), []
    drawn = random.Random(0)
    for number, configuration in enumerate(configurations(drawn, trials)):
        failed = number % 50 == 49
        rows.append(
            {
                "study": "drawn", "number": number, "configuration_id": configuration.id,
                "configuration": configuration.as_dict(), "values": {} if failed else values(drawn, configuration),
                "failure": FAILURE if failed else None, "seconds": 1.0, "finished": now,
            }
        )  # fmt: skip
        if len(rows) == ROWS or number == trials - 1:
            with records.engine.begin() as connection:
                connection.execute(sa.insert(schema.TrialRow), rows)
            rows.clear()
    records.close()


FAILURE = {"stage": "measure", "kind": "crash", "message": "the worker ended", "log": ""}


def configurations(drawn: random.Random, count: int) -> Iterator[Configuration]:
    """Yield so many different configurations, drawn at random, after some of them what is equal but for one axis."""
    seen: set[Configuration] = set()
    while len(seen) < count:
        first = {axis: drawn.choice(choices) for axis, choices in CHOICES.items()}
        others = [{**first, axis: choice} for axis in ("algorithm", "format", "tuning_trials", "device", "compression")
                  for choice in CHOICES[axis]] if drawn.random() < 0.03 else []  # fmt: skip
        for choices in (first, *others):
            configuration = _valid(choices)
            if configuration and configuration not in seen and len(seen) < count:
                seen.add(configuration)
                yield configuration


def _valid(choices: dict[str, Any]) -> Configuration | None:
    pruned = choices["compression"].endswith("_pruning")
    own = {
        "ratio": round(choices["ratio"], 3) if pruned else None,
        "channel_multiple": 8 if choices["compression"] == "channel_pruning" else None,
        "tuner": "template" if choices["tuning_trials"] else None,
    }
    configuration = Configuration(dataset="digits", **{**choices, **own})
    return None if why_invalid(configuration) else configuration


def values(drawn: random.Random, configuration: Configuration) -> dict[str, Any]:
    """Return what a record holds, at random but of the size and with the columns of a real one."""
    latency, accuracy = drawn.lognormvariate(0, 1), drawn.uniform(0.5, 0.99)
    weights, macs = drawn.randrange(10**4, 10**7), drawn.randrange(10**6, 10**9)
    return {
        "accuracy": accuracy, "accuracy_low": accuracy - 0.01, "accuracy_high": accuracy + 0.008,
        "test_accuracy": accuracy, "validation_images": 450, "test_images": 450,
        "latency_ms": latency, "latency_low_ms": 0.98 * latency, "latency_high_ms": 1.03 * latency,
        **{f"latency_{end}ms": latency for end in ("p90_", "p90_low_", "p90_high_", "p99_", "p99_low_", "p99_high_")},
        **{f"{name}_{end}ms": 3 * latency for name in ("first", "load") for end in ("", "low_", "high_")},
        **{f"images_per_second{end}": 1000 / latency for end in ("", "_low", "_high")},
        "latency_sessions": 3, "size_bytes": 4 * weights, "peak_memory_bytes": 8 * weights,
        "trained_accuracy": accuracy,
        "torch_accuracy": accuracy, "torch_test_accuracy": accuracy, "agreement": 1.0, "dtype": configuration.dtype,
        **{f"{name}{when}": weights for name in ("parameters", "weights", "nonzeros") for when in ("", "_before")},
        "macs": macs, "macs_before": macs, "weight_bytes": 4 * weights, "weight_bytes_before": 4 * weights,
        "channels": 500, "channels_before": 500, "convolutions": 20, "convolutions_as_asked": 19,
        **{f"{stage}_key": f"{drawn.getrandbits(256):064x}" for stage in ("train", "compress", "lower", "build")},
        **{f"{stage}_key": f"{drawn.getrandbits(256):064x}" for stage in ("evaluate", "measure")},
    }  # fmt: skip


if __name__ == "__main__":
    main()
