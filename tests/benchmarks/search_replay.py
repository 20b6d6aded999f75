"""Samplers on the table of a full grid: how much of it each evaluates until its front is nearly the grid's."""

from __future__ import annotations

import os
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import moocore
import numpy as np

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.errors import DOMINATED, Failure
from explorer.core.measurement.sessions import Estimate
from explorer.engines.engine import Engine
from explorer.inputs import external
from explorer.line.contracts import measure
from explorer.line.stage import A, P, Stage
from explorer.line.trials import trial
from explorer.results.progress import live
from explorer.search import jobs
from explorer.search import search as engines
from explorer.search.latency_first import Screen
from explorer.search.optuna_study.study import Study
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.benchmarks.common import Row, print_table

# Of the hypervolume of the grid's front.
REACHED = 0.95
# Objectives are scaled to [0, 1] over the grid, latencies and sizes by their logarithms: over a hundredfold range, by
# their shares of the largest, every small network reaches most of the volume. Beyond 1, so that extreme points count.
REFERENCE = 1.1
LOGARITHMIC = ("latency_ms", "size_bytes")
# What the searches are set up for; they go on until they have reached their share.
TRIALS = 100

# Key and seconds of executions, in the order of the line.
Executions = tuple[tuple[str, float], ...]
Point = tuple[float, ...]


@dataclass(frozen=True)
class Untrained:
    """What is known of a configuration once it is measured before its fine-tuning.

    Attributes
    ----------
    known : by which it may be left out
    before, after : what is executed until then, and after it if it is not left out
    """

    known: Mapping[str, Any]
    before: Executions
    after: Executions


@dataclass(frozen=True)
class Outcome:
    """What the grid knows of a configuration.

    Attributes
    ----------
    point : its objectives, all to be minimised and scaled; None if it failed
    stages : what is executed for it
    untrained : the same with latency first; None where that makes no difference
    """

    result: Record | Failure
    point: Point | None
    stages: Executions
    untrained: Untrained | None = None


Table = Mapping[str, Outcome]


class _Noting(jobs.Known):
    """Notes the keys of what the line asks for."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asked: list[str] = []

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        self.asked.append(stage.key)
        return super().run(stage, equivalent)

    def measure(self, stage: measure.Stage, device: str) -> Estimate:
        self.asked.append(stage.key)
        return super().measure(stage, device)


@dataclass
class _Patient:
    """A screen that leaves nothing out, and remembers what it was told and how much was asked for until then."""

    asked: list[str] = field(default_factory=list)
    known: Mapping[str, Any] | None = None
    before: int = 0

    def why_not(self, configuration: Configuration, known: Mapping[str, Any]) -> str | None:
        self.known, self.before = known, len(self.asked)
        return None


def outcomes(searched: Space, workspace: Workspace, latency_first: bool) -> dict[str, Outcome]:
    """Return configuration's id → what is on record of it.

    Parameters
    ----------
    latency_first
        Whether to measure, too, what is measured before fine-tuning, as far as it is not on record.
    """
    from explorer.results.console import Plain

    records, found = Records(workspace.url), external.find(searched, workspace)
    frame = records.frame(searched.name)
    told = live.Progress(Plain())
    with engines.engine_of(searched, workspace, records, found, told, engines.HERE) as engine:
        if latency_first:
            _measure_untrained(searched, engine)
        seconds = defaultdict[str, float](float)
        for _, key, own in records.executions.succeeded():  # a measurement has several, its sessions
            seconds[key] += own
        numbers = dict(zip(frame["configuration_id"], frame["number"], strict=True))
        scaled, noting, table = _scale(frame, searched), _Noting(engine), {}
        for configuration in searched.configurations():
            result = _line(noting, configuration, searched, None)
            if result is None:
                result = records.outcome(searched.name, numbers[configuration.id])
            assert result is not None
            stages, untrained = _executions(noting.asked, seconds), None
            patient = _Patient(noting.asked)
            if latency_first and _line(noting, configuration, searched, patient) and patient.known:
                parts = noting.asked[: patient.before], noting.asked[patient.before :]
                untrained = Untrained(patient.known, *(_executions(part, seconds) for part in parts))
            table[configuration.id] = Outcome(result, scaled(result), stages, untrained)
    return table


def _measure_untrained(searched: Space, engine: Engine) -> None:
    """Execute what the line lacks with latency first, as many configurations at once as in a study."""
    with ThreadPoolExecutor(engine.concurrency) as executor:
        line = partial(trial.run, settings=searched.settings, engine=engine, screen=_Patient())
        list(executor.map(line, searched.configurations()))


def _line(
    noting: _Noting, configuration: Configuration, searched: Space, screen: _Patient | None
) -> Record | Failure | None:
    """Return what the line comes to by what is in the store; None where a stage failed, which leaves nothing there."""
    noting.asked.clear()
    try:
        return trial.run(configuration, searched.settings, noting, screen)
    except jobs.Lacking:
        return None


def _executions(keys: list[str], seconds: Mapping[str, float]) -> Executions:
    return tuple((key, seconds[key]) for key in dict.fromkeys(keys) if key in seconds)


def _scale(frame: Any, searched: Space) -> Callable[[Record | Failure], Point | None]:
    """Return what gives a record's objectives, to be minimised and scaled to [0, 1] over the grid."""
    objectives = searched.objectives
    signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in objectives.values()])
    logarithmic = np.array([name in LOGARITHMIC for name in objectives])

    def losses(values: Any) -> Any:
        return signs * np.where(logarithmic, np.log(values), values)

    points = losses(frame[frame["state"] == "complete"][list(objectives)].to_numpy(dtype=float))
    low, spread = points.min(axis=0), np.ptp(points, axis=0)

    def scaled(result: Record | Failure) -> Point | None:
        if isinstance(result, Failure):
            return None
        values = np.array([float(result.values[name]) for name in objectives])
        return tuple((losses(values) - low) / spread)

    return scaled


def replay_rows(searched: Space, table: Table, samplers: list[str], seeds: int) -> list[Row]:
    """Return for every sampler the shares of evaluations and of cost until its front has its hypervolume.

    The cost of the whole grid is that without latency first.
    """
    cost = _cost(table)
    rows = []
    with ProcessPoolExecutor(os.cpu_count()) as executor:
        for sampler in samplers:
            for latency_first in (False, True):
                search = searched.search.model_copy(update={"latency_first": latency_first})
                own = replace(searched, search=search)
                found = list(executor.map(partial(replay, own, table, sampler), range(seeds)))
                evaluations, costs, skipped = zip(*found, strict=True)
                rows.append(
                    {
                        "kind": "replay", "sampler": sampler, "seeds": seeds, "latency_first": latency_first,
                        "evaluations": median(evaluations), "skipped": median(skipped),
                        "share_of_evaluations": round(median(evaluations) / len(table), 4),
                        "share_of_cost": round(median(costs) / cost, 4),
                        "share_of_cost_low": round(float(np.quantile(costs, 0.1)) / cost, 4),
                        "share_of_cost_high": round(float(np.quantile(costs, 0.9)) / cost, 4),
                    }
                )  # fmt: skip
                print_table(rows[-1:])
    return rows


def replay(searched: Space, table: Table, sampler: str, seed: int) -> tuple[int, float, int]:
    """Return how many evaluations, seconds and skipped trials it takes until the front has 95 % of the hypervolume."""
    wanted = REACHED * hypervolume([outcome.point for outcome in table.values() if outcome.point is not None])
    front: list[Point] = []
    seconds, skipped = 0.0, 0
    for evaluations, (outcome, own) in enumerate(search(searched, table, sampler, seed), 1):
        seconds += own
        skipped += outcome is None
        if outcome is not None and outcome.point is not None:
            front.append(outcome.point)
            if hypervolume(front) >= wanted:
                return evaluations, seconds, skipped
    raise RuntimeError(f"{sampler} with seed {seed} did not reach {REACHED:g} of the hypervolume")


def search(searched: Space, table: Table, sampler: str, seed: int) -> Iterator[tuple[Outcome | None, float]]:
    """Yield what a study is told, in its order, and the seconds that it costs; None of what is left out."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        study = Study(searched.searched(sampler, TRIALS, seed), workspace, Records(workspace.url))
        executed: set[str] = set()
        while (asked := study.ask()) is not None:
            outcome, why, seconds = evaluate(asked[1], table, study.screen, executed)
            yield None if why else outcome, seconds
            study.tell(*asked, Failure("compress", DOMINATED, why) if why else outcome.result, seconds)


def evaluate(
    configuration: Configuration, table: Table, screen: Screen | None, executed: set[str]
) -> tuple[Outcome, str | None, float]:
    """Return what the grid knows of a configuration, why it is left out, and the seconds of what is executed anew."""
    outcome = table[configuration.id]

    def spent(executions: Executions) -> float:
        new = sum(own for key, own in executions if key not in executed)
        executed.update(key for key, _ in executions)
        return new

    if screen is None or outcome.untrained is None:
        return outcome, None, spent(outcome.stages)
    seconds = spent(outcome.untrained.before)
    if why := screen.why_not(configuration, outcome.untrained.known):
        return outcome, why, seconds
    return outcome, None, seconds + spent(outcome.untrained.after)


def screen_rows(searched: Space, table: Table, seeds: int) -> list[Row]:
    """Return what latency first leaves out of the whole grid in random orders, and how many points of its front."""
    points = {identity: outcome.point for identity, outcome in table.items() if outcome.point is not None}
    best = moocore.is_nondominated(np.array([*points.values()]), keep_weakly=True)
    front = {identity for identity, own in zip(points, best, strict=True) if own}
    configurations = list(searched.configurations())
    shares, skipped, lost, costs = [], [], [], []
    for seed in range(seeds):
        random.Random(seed).shuffle(configurations)
        screen, executed = Screen(searched.objectives, searched.limits), set[str]()
        left_out: set[str] = set()
        seconds = 0.0
        for number, configuration in enumerate(configurations):
            outcome, why, own = evaluate(configuration, table, screen, executed)
            seconds += own
            if why:
                left_out.add(configuration.id)
            elif isinstance(outcome.result, Record):
                screen.add(number, configuration, outcome.result.values)
        kept = [point for identity, point in points.items() if identity not in left_out]
        shares.append(hypervolume(kept) / hypervolume([*points.values()]))
        skipped.append(len(left_out))
        lost.append(len(left_out & front))
        costs.append(seconds / _cost(table))
    return [
        {
            "kind": "latency_first", "seeds": seeds, "configurations": len(table), "front": len(front),
            "could_be_skipped": sum(outcome.untrained is not None for outcome in table.values()),
            "skipped": median(skipped), "of_front_skipped": max(lost), "share_of_cost": round(median(costs), 4),
            "least_share_of_hypervolume": round(min(shares), 6),
        }
    ]  # fmt: skip


def _cost(table: Table) -> float:
    """Return the seconds of all executions of a grid."""
    return sum(dict(stage for outcome in table.values() for stage in outcome.stages).values())


def hypervolume(points: list[Point]) -> float:
    """Return the volume that scaled points dominate."""
    return float(moocore.hypervolume(np.array(points), ref=REFERENCE))
