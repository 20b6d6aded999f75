"""What a network's kernels take in it, and by themselves behind memory that is read before each run."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import engines, zoo
from tests.benchmarks.common import Row

EVICTED_MIB = (4, 16, 64, 96, 128)
AHEAD_KIB = (0, 4)
RUNS = 11
# Of the network, of which the first ones find its pages.
NETWORK_RUNS, FIRST = 60, 20


def rows(spec: str, network: Path, algorithm: str, threads: int) -> list[Row]:
    """Return the kernels' milliseconds with all weights asked for so far ahead, in the network and by themselves.

    Call it in a process of its own.
    """
    os.environ["TVM_NUM_THREADS"] = str(threads)
    import onnx

    import dlas_ops
    from dlas_ops._tvm import tvm
    from dlas_ops.kernels import scheduling
    from dlas_ops.passes import eviction
    from dlas_ops.processor.targets import describe, native_target
    from dlas_ops.selection.candidates import FILL
    from dlas_ops.tuning import task_extraction

    target = tvm.target.Target({**native_target(), "num-cores": threads})
    lowered = dlas_ops.lower(onnx.load(zoo.onnx_path(network)), target, algorithm=algorithm)
    tasks = task_extraction.tasks(lowered, "template", target)
    fill = tvm.get_global_func(FILL)
    found: list[Row] = []
    for ahead in AHEAD_KIB:
        choices = [_asking(scheduling.space(task.function, describe(target)), ahead) for task in tasks]
        programs = {
            name: scheduling.schedule_function(task.function, describe(target), choice).with_attr("global_symbol", name)
            for task, choice in zip(tasks, choices, strict=True)
            for name in task.names
        }
        shared: Row = {"kind": "caches", "network": spec, "algorithm": algorithm, "ahead_kib": ahead}
        shared["constants_mb"] = round(task_extraction.constant_bytes(lowered) / 1e6, 1)
        within = _in_network(
            dlas_ops.build(lowered, target, programs).library.jit(), engines.image(spec), set(programs)
        )
        found.append({**shared, "evicted_mib": "by the network", "kernels_ms": round(within, 3)})
        built = [
            task_extraction.build(task.function, target, "template", [choice])
            for task, choice in zip(tasks, choices, strict=True)
        ]
        libraries = [each.library.jit() for each in built if each.library is not None]
        for size in EVICTED_MIB:
            evicted = eviction.Eviction(size << 20, threads, tvm.cpu(), fill)
            total = 0.0
            for task, library in zip(tasks, libraries, strict=True):
                arrays = [evicted.array(shape, dtype) for shape, dtype in task.arguments]
                total += task.calls * median(evicted.timer(library, "candidate_0", RUNS)(arrays))
            found.append({**shared, "evicted_mib": size, "kernels_ms": round(1e3 * total, 3)})
    return found


def _asking(space: Any, kibibytes: int) -> dict[str, Any]:
    """Return the rules' choice of each tunable, but weights asked for so far ahead where they can be."""
    rules = {name: values[0] for name, values in space.items()}
    return {**rules, "prefetch": kibibytes} if "prefetch" in space else rules


def _in_network(library: Any, image: Any, kernels: set[str]) -> float:
    """Return the milliseconds of the network's `kernels`, each call's median summed."""
    from dlas_ops._tvm import tvm

    machine = tvm.relax.VirtualMachine(library, tvm.cpu())
    machine.set_input("main", tvm.runtime.tensor(image))
    calls: dict[tuple[str, int], list[float]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    start = 0.0

    def instrument(_function: Any, name: str, before: bool, _result: Any, *_arguments: Any) -> None:
        nonlocal start
        if before:
            start = time.perf_counter()
        elif str(name) in kernels:
            calls[str(name), counts[str(name)]].append(time.perf_counter() - start)
            counts[str(name)] += 1

    machine.set_instrument(instrument)
    for _ in range(NETWORK_RUNS):
        counts.clear()
        machine.invoke_stateful("main")
    return 1e3 * sum(median(taken[FIRST:]) for taken in calls.values())
