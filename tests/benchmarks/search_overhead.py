"""What one trial of a study costs besides its stages, with many trials on record."""

from __future__ import annotations

import datetime
import random
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState

from explorer.core.configuration import Configuration
from explorer.line.trials.dry_run import CountingEngine
from explorer.search.optuna_study.optuna_database import CONFIGURATION, PROPOSAL
from explorer.search.optuna_study.study import Study
from explorer.search.samplers._genetic import GENERATION
from explorer.space import space
from explorer.space.space import Space
from explorer.workspace.database import schema
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.benchmarks.common import Row

# More configurations than there are to be trials.
SPACE = """
name = "overhead"
[axes]
dataset = "digits"
model = ["mobilenetv1", "mobilenetv2", "resnet18"]
width = { low = 0.125, high = 0.5, step = 0.025 }
compression = ["none", "weight_pruning", "channel_pruning", "float16", "int8"]
ratio = { low = 0.5, high = 0.95, step = 0.005 }
algorithm = ["direct", "gemm", "spatial_pack", "winograd"]
format = ["dense", "csr"]
threads = [1, 2, 3, 4]
[objectives]
accuracy = "maximize"
latency_ms = "minimize"
size_bytes = "minimize"
[search]
"""

# Rows of a table that are inserted at once.
ROWS = 50_000


def overhead_rows(counts: list[int], samplers: list[str], trials: int) -> list[Row]:
    """Return what a trial costs each sampler, with so many on record; the values on record are random."""
    rows: list[Row] = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "space.toml"
            file.write_text(SPACE)
            root = Path(folder) / "workspace"
            root.mkdir()
            fill(space.load(file, to_run=False), Workspace(root), count)
            for sampler in samplers:
                # In a process of its own: its memory is the study's, not that of what filled the tables.
                with get_context("spawn").Pool(1) as pool:
                    found = pool.apply(measure, (file, root, sampler, trials))
                rows.append({"kind": "overhead", "sampler": sampler, "records": count, **found})
    return rows


def measure(file: Path, workspace: Path, sampler: str, trials: int) -> dict[str, Any]:
    """Return the seconds that a study takes to open, and the milliseconds of each part of one more trial."""
    searched = space.load(file, to_run=False).searched(sampler, trials=10**6)
    start = time.perf_counter()
    opened = Workspace(workspace)
    study = Study(searched, opened, Records(opened.url))
    seconds = time.perf_counter() - start
    drawn, keys = random.Random(0), CountingEngine({})
    parts: dict[str, list[float]] = {"ask": [], "keys": [], "tell": [], "total": []}
    for _ in range(trials):
        start = time.perf_counter()
        asked = study.ask()
        assert asked is not None
        proposed = time.perf_counter()
        keys.count(asked[1], searched.settings)
        keyed = time.perf_counter()
        study.tell(*asked, Record(values(drawn)), 0.0)
        told = time.perf_counter()
        for name, taken in (
            ("ask", proposed - start), ("keys", keyed - proposed), ("tell", told - keyed), ("total", told - start)
        ):  # fmt: skip
            parts[name].append(1e3 * taken)
    return {
        "open_s": round(seconds, 2),
        **{f"{name}_ms": round(median(taken), 2) for name, taken in parts.items()},
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10),
    }


def values(drawn: random.Random) -> dict[str, Any]:
    """Return what a record holds, at random."""
    latency = drawn.lognormvariate(0, 1)
    return {
        "accuracy": drawn.uniform(0.5, 1.0), "latency_ms": latency, "latency_low_ms": 0.99 * latency,
        "latency_high_ms": 1.01 * latency, "latency_runs": 100, "size_bytes": drawn.randrange(10**4, 10**8),
        **{f"{stage}_key": f"{drawn.getrandbits(256):064x}" for stage in ("train", "compress", "lower", "build")},
    }  # fmt: skip


def fill(searched: Space, workspace: Workspace, count: int) -> None:
    """Put complete trials of so many configurations of `searched`, drawn at random, on record.

    They are written into the tables that Optuna and the explorer keep, since to tell them one by one takes an hour.
    """
    own = Records(workspace.url)
    study = Study(searched, workspace, own)
    study_id = study._database.study_id
    drawn = random.Random(0)
    numbers = drawn.sample(range(searched.count), count)
    now = datetime.datetime.now(datetime.UTC)
    tables: dict[Any, list[dict[str, Any]]] = {}

    def put(table: Any, **row: Any) -> None:
        tables.setdefault(table, []).append(row)

    for number, leaf in enumerate(numbers):
        configuration, trial_id = _leaf(searched, leaf), number + 1
        found = values(drawn)
        put(
            models.TrialModel, trial_id=trial_id, number=number, study_id=study_id, state=TrialState.COMPLETE,
            datetime_start=now, datetime_complete=now,
        )  # fmt: skip
        for name, (distribution, value) in searched.distributions(configuration).items():
            put(
                models.TrialParamModel, trial_id=trial_id, param_name=name,
                param_value=distribution.to_internal_repr(value), distribution_json=distribution_to_json(distribution),
            )  # fmt: skip
        for index, name in enumerate(searched.objectives):
            kind = models.TrialValueModel.TrialValueType.FINITE
            put(models.TrialValueModel, trial_id=trial_id, objective=index, value=found[name], value_type=kind)
        # Of a genetic sampler, and of no meaning to the others.
        generation = {"trial_id": trial_id, "key": GENERATION, "value_json": str(number // 50)}
        put(models.TrialSystemAttributeModel, **generation)
        attributes = {CONFIGURATION: f'"{configuration.id}"', PROPOSAL: str(number)}
        for key, text in attributes.items():
            put(models.TrialUserAttributeModel, trial_id=trial_id, key=key, value_json=text)
        put(
            schema.TrialRow, study=searched.name, number=number, configuration_id=configuration.id,
            configuration=configuration.as_dict(), values=found, failure=None, seconds=0.0, finished=now,
        )  # fmt: skip
        if number % ROWS == ROWS - 1 or number == count - 1:
            with own.engine.begin() as connection:
                for table, rows in tables.items():
                    connection.execute(sa.insert(table), rows)
            tables.clear()


def _leaf(searched: Space, number: int) -> Configuration:
    return Configuration.from_dict(dict(zip(searched.axes, searched.tree.leaf(number), strict=True)))
