"""One layer's candidates, built and measured over RPC: by our builders and runner, and by MetaSchedule's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tvm

import dlas_ops
from dlas_ops.passes.eviction import evicted_bytes
from dlas_ops.processor.targets import describe
from dlas_ops.tuning import task_extraction, tuners
from explorer.line.tuning.builders import Builders
from explorer.line.tuning.runner import ROUNDS, RUNS, Runner

LAYER = "(1, 1, 16, 16, 128)"  # the input of ResNet18's second group of 3x3 convolutions, in NHWC
TUNER = "template"


def task_of(lowered: str, target: Any) -> task_extraction.Task:
    """Return the 3x3 convolution of 128 channels on a 16x16 map."""
    tasks = task_extraction.tasks(dlas_ops.load(Path(lowered)), TUNER, target)
    return next(task for task in tasks if str(task.arguments[0][0]) == LAYER and task.arguments[1][0][1] == 3)


def explorer(
    lowered: str, target: dict[str, Any], tracker: str, key: str, threads: int, folder: str, count: int
) -> dict[str, Any]:
    """Return ``{"candidates": n, "seconds": s, "candidates_per_second": r}`` of the stage tune's own parts.

    All is counted but the first fork's import of TVM, which a tuning pays once.
    """
    compiled_for = tvm.target.Target(target)
    task = task_of(lowered, compiled_for)
    source = Path(folder) / "task.json"
    source.write_text(tvm.ir.save_json(task.function))
    evicted = evicted_bytes(task_extraction.constant_bytes(dlas_ops.load(Path(lowered))), describe(compiled_for))
    runner = Runner(tracker, key, dict(compiled_for.export()), threads, evicted, 0)
    decisions = tuners.load(TUNER).search(task.function, compiled_for, 0).propose(count)
    measured = 0
    with Builders(target, TUNER) as builders:
        rule = builders.build(source, [None], Path(folder))[0][0]
        start = time.perf_counter()
        program = runner.prepare(task, rule)
        for first in range(0, count, 8):
            libraries, _ = builders.build(source, decisions[first : first + 8], Path(folder))
            results = runner.measure(program, libraries)
            measured += sum(isinstance(result, list) for result in results.values())
        return _row(measured, time.perf_counter() - start)


def metaschedule(
    lowered: str, target: dict[str, Any], tracker: str, key: str, threads: int, folder: str, count: int
) -> dict[str, Any]:
    """Return the same of MetaSchedule's LocalBuilder and RPCRunner, on the same candidates and for as many runs."""
    from tvm.s_tir.meta_schedule.arg_info import ArgInfo
    from tvm.s_tir.meta_schedule.builder import BuilderInput, LocalBuilder
    from tvm.s_tir.meta_schedule.runner import EvaluatorConfig, RPCConfig, RPCRunner, RunnerInput

    compiled_for = tvm.target.Target(target)
    task = task_of(lowered, compiled_for)
    decisions = tuners.load(TUNER).search(task.function, compiled_for, 0).propose(count)
    host, _, port = tracker.rpartition(":")
    config = RPCConfig(
        tracker_host=host, tracker_port=int(port), tracker_key=key, session_priority=1, session_timeout_sec=60
    )
    evaluator = EvaluatorConfig(number=1, repeat=ROUNDS * RUNS, min_repeat_ms=0, enable_cpu_cache_flush=True)
    builder = LocalBuilder(max_workers=len(_cores()), timeout_sec=600)
    runner = RPCRunner(config, evaluator, max_workers=1)
    programs = [
        tvm.IRModule({"main": task_extraction.scheduled_by(task.function, compiled_for, TUNER, decision).with_attr(
            "global_symbol", "main")})
        for decision in decisions
    ]  # fmt: skip
    types = ArgInfo.from_prim_func(task.function)
    start = time.perf_counter()
    built = builder.build([BuilderInput(program, compiled_for) for program in programs])
    inputs = [RunnerInput(each.artifact_path, "cpu", types) for each in built if each.artifact_path]
    results = [future.result() for future in runner.run(inputs)]
    measured = sum(bool(result.run_secs) for result in results)
    errors = {str(each.error_msg).strip().splitlines()[-1] for each in [*built, *results] if each.error_msg}
    return _row(measured, time.perf_counter() - start, "; ".join(sorted(errors))[:200])


def _cores() -> list[int]:
    import os

    return sorted(os.sched_getaffinity(0))


def _row(measured: int, seconds: float, errors: str = "") -> dict[str, Any]:
    return {
        "candidates": measured,
        "seconds": round(seconds, 2),
        "candidates_per_second": round(measured / seconds, 3),
        "errors": errors,
    }
