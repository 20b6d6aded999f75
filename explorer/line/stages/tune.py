"""Lowered module and a budget of measured candidates → scheduled tensor programs, the best that were found.

Each measurement goes at once into a database that all networks and studies of a workspace share: a network with a
layer that another one had, a larger budget and a tuning that was cut off all go on from there.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tvm

import dlas_ops
from dlas_ops.passes.eviction import evicted_bytes
from dlas_ops.processor.targets import describe
from dlas_ops.tuning import task_extraction, tuners
from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement import clocks
from explorer.line.contracts.tune import Parameters, Parents, Values
from explorer.line.execution import current
from explorer.line.tuning.allocation import following
from explorer.line.tuning.builders import Builders
from explorer.line.tuning.database import Database
from explorer.line.tuning.layer import Layer
from explorer.line.tuning.runner import Runner

VERSION = 10
WORKER = "tvm"
SCHEDULED = "scheduled.json"  # the programs that are not scheduled by the rules, as an IRModule
LAYERS = "tuned.json"
STEP = 8  # candidates that a layer is given at a time, at most
STEPS = 2  # that every layer gets at least, as far as the budget goes


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the scheduled programs, and ``tuned.json`` with what was tried of each layer.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if the tuner has nothing to try in the network or for the target,
        ``no_valid_candidate`` if none of the candidates could be measured.
    DeviceError
        If the device does not answer.
    """
    target = tvm.target.Target(parameters.target)
    tuner, address = parameters.tuner, parameters.address
    if reason := tuners.load(tuner).refuses(target):
        raise StageFailed(Failure("tune", "not_applicable", reason))
    lowered = dlas_ops.load(parents.lower.path)
    tasks = task_extraction.tasks(lowered, tuner, target)
    if not tasks:
        message = f"tuner {tuner} has nothing to try in this network: its layers' schedules leave it no choice"
        raise StageFailed(Failure("tune", "not_applicable", message))
    evicted = evicted_bytes(task_extraction.constant_bytes(lowered), describe(target))
    runner = Runner(address.tracker, address.key, parameters.target, parameters.threads, evicted, parameters.reconnect)
    database = Database(Path(parameters.database))
    with tempfile.TemporaryDirectory(dir=out) as folder, Builders(dict(parameters.target), tuner) as builders:
        layers = [Layer(task, tuner, target, database, builders, runner, Path(folder)) for task in tasks]
        on_record = sum(len(layer.log.trials) for layer in layers)
        trials, seconds = _spend(layers, parameters.tuning_trials, parameters.tuning_seconds)
        measured = sum(len(layer.log.trials) for layer in layers) - on_record
        rows, programs = _finished(layers, tuner, target)
    failed = sum((layer.failures for layer in layers), Counter[str]())
    if failed.total() == trials:
        causes = ", ".join(f"{count} {cause}" for cause, count in failed.most_common()) or "none was proposed"
        raise StageFailed(
            Failure("tune", "no_valid_candidate", f"no candidate of {trials} could be measured: {causes}")
        )
    (out / SCHEDULED).write_text(tvm.ir.save_json(tvm.IRModule(programs)), encoding="utf-8")
    (out / LAYERS).write_text(json.dumps(rows, indent=1))
    return {
        "trials": trials,
        "trials_on_record": trials - measured,
        "tuning_seconds": round(seconds, 2),
        "layers": len(layers),
        "layers_faster": sum(row["decision"] is not None for row in rows),
        "failed": dict(failed),
        "expected_ms": sum(row["calls"] * row["ms"] for row in rows),
        "expected_untuned_ms": sum(row["calls"] * row["rule_ms"] for row in rows),
    }


def load_scheduled(folder: Path) -> dict[str, Any]:
    """Return the scheduled tensor programs that `run` wrote, by name."""
    module = tvm.ir.load_json((folder / SCHEDULED).read_text(encoding="utf-8"))
    return {str(variable.name_hint): function for variable, function in module.functions.items()}


def _spend(layers: Sequence[Layer], most: int, limit: float) -> tuple[int, float]:
    """Give candidates to the layers until the budget is spent; return how many, and the seconds that they took.

    A candidate on record counts as if it were measured now, so that a budget means the same in any order of tunings.
    """
    trials, seconds, start = 0, 0.0, clocks.running()
    for number, layer in enumerate(layers):
        layer.begin()
        current().advance(number, len(layers), f"the rules' schedules, {number + 1} of {len(layers)} layers")
    step = min(STEP, max(1, most // (STEPS * len(layers)))) if most else STEP
    while (not most or trials < most) and (not limit or seconds < limit):
        chosen = following([layer.progress for layer in layers])
        if chosen is None:
            break
        layer = layers[chosen]
        taken = layer.step(min(step, most - trials) if most else step)
        trials += len(taken)
        seconds += sum(trial.seconds for trial in taken)
        spent = max(trials / most if most else 0.0, seconds / limit if limit else 0.0)
        left = (clocks.running() - start) * (1 - spent) / spent if spent else 0.0
        total = sum(other.task.calls * other.progress.best_ms for other in layers)
        current().advance(
            round(1000 * min(spent, 1.0)), 1000,
            f"{layer.task.names[0]} {layer.progress.best_ms:.3f} ms ({layer.progress.rule_ms:.3f} by the rules), "
            f"network {total:.2f} ms, {trials} tried, {left:.0f} s left",
        )  # fmt: skip
    return trials, seconds


def _finished(layers: Sequence[Layer], tuner: str, target: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a row for every layer, and by name the programs that are faster than the rules make them."""
    rows: list[dict[str, Any]] = []
    programs: dict[str, Any] = {}
    for layer in layers:
        decision, milliseconds, rule_ms = layer.finish()
        right = (trial.ms for trial in layer.progress.trials if trial.ms is not None)
        rows.append({
            "programs": list(layer.task.names), "key": layer.task.key, "calls": layer.task.calls,
            "trials": len(layer.progress.trials), "failed": dict(layer.failures),
            "rule_ms": rule_ms, "candidate_ms": min(right, default=None), "ms": milliseconds, "decision": decision,
        })  # fmt: skip
        if decision is not None:
            program = task_extraction.scheduled_by(layer.task.function, target, tuner, decision)
            programs |= {name: program.with_attr("global_symbol", name) for name in layer.task.names}
    return rows, programs
