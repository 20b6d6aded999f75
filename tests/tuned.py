"""Small networks and kernels for the tests of the stage `tune`; for a worker that holds TVM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import tvm

import dlas_ops
from dlas_ops.processor.targets import native_target
from dlas_ops.tuning import task_extraction
from explorer.line.tuning.builders import Builders
from explorer.line.tuning.runner import Program, Runner
from tests.dlas_ops import small_networks as networks

TARGET = native_target()


def write_network(folder: str) -> dict[str, Any]:
    """Write a network of three convolutions of one shape; return the target."""
    onnx.save(networks.repeated(), Path(folder) / "network.onnx")
    return TARGET


def error_of_tuned(lowered: str, tuned: str) -> float:
    """Return how far the outputs of the tuned network lie from those of the untuned one, relative to the largest."""
    from explorer.line.stages.tune import load_scheduled

    made, target = dlas_ops.load(lowered), tvm.target.Target(TARGET)
    data = networks.random(networks.shape_of(networks.REPEATED))
    expected = networks.run_library(dlas_ops.build(made, target).library, data)
    outputs = networks.run_library(dlas_ops.build(made, target, load_scheduled(Path(tuned))).library, data)
    return float(abs(outputs - expected).max() / abs(expected).max())


def measured(lowered: str, folder: str, tracker: str, key: str) -> dict[str, Any]:
    """Return what the runner says of a right candidate, and of one whose results are compared with others' results."""
    target = tvm.target.Target(TARGET)
    task = task_extraction.tasks(dlas_ops.load(lowered), "template", target)[0]
    source = Path(folder) / "task.json"
    source.write_text(tvm.ir.save_json(task.function))
    runner = Runner(tracker, key, TARGET, 1, 1 << 20, 0)
    with Builders(TARGET, "template", 1) as builders:
        [rule], _ = builders.build(source, [None], Path(folder))
        program = runner.prepare(task, rule)
        libraries, _ = builders.build(source, [None, None], Path(folder))
        right = runner.measure(program, libraries)
        other = Program(task, program.inputs, [array + 1 for array in program.outputs], program.rule_ms)
        return {"right": right, "wrong": runner.measure(other, libraries)}


def built(lowered: str, folder: str, wrong: Any, kill: bool, seconds: float | None) -> dict[str, Any]:
    """Return what builders make of a right and a `wrong` decision, killed before or given so many seconds."""
    from explorer.line.tuning import builders as module

    task = task_extraction.tasks(dlas_ops.load(lowered), "template", tvm.target.Target(TARGET))[0]
    source = Path(folder) / "task.json"
    source.write_text(tvm.ir.save_json(task.function))
    with Builders(TARGET, "template", 1) as builders:
        builders.build(source, [None], Path(folder))
        if kill:
            builders._builders[0]._process.kill()
            builders._builders[0]._process.join()
        if seconds is not None:
            module.SECONDS_PER_CANDIDATE = seconds
        libraries, errors = builders.build(source, [None, wrong], Path(folder))
        module.SECONDS_PER_CANDIDATE = 20.0
        again, _ = builders.build(source, [None], Path(folder))
        functions = sum(len(library.functions) for library in libraries)
        return {
            "functions": functions,
            "errors": {str(i): kind for i, (kind, _) in errors.items()},
            "again": len(again),
        }
