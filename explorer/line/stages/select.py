"""Planned layers and a device → the algorithm of each, by what its candidates take on the device over RPC."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tvm

from dlas_ops.passes.eviction import Eviction
from dlas_ops.placement.graph import Graph, Problem
from dlas_ops.selection import candidates, selection
from explorer.core.measurement.standstills import unbroken
from explorer.line.contracts.select import Parameters, Parents, Values
from explorer.line.device import rpc, silence
from explorer.line.device.session import compiling_seconds
from explorer.line.stages.candidates import FUNCTIONS, LIBRARY, WEIGHTS
from explorer.line.stages.plan import GRAPH

VERSION = 4
WORKER = "tvm"
SELECTION = "selection.json"
SESSION_SECONDS = 600


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Measure the candidates that nothing is known of, and write the selection."""
    graph = Graph.from_json(json.loads((parents.plan.path / GRAPH).read_text()))
    problems = graph.distinct()
    missing = [problem for problem, costs in zip(problems, parameters.known, strict=True) if not costs]
    measured = _measure(parameters, parents, missing) if missing else {}
    samples = [measured.get(problem, {}) for problem in problems]

    costs = [own or _medians(new) for own, new in zip(parameters.known, samples, strict=True)]
    seconds = [{name: 1e-3 * milliseconds for name, milliseconds in own.items()} for own in costs]
    target = tvm.target.Target(parameters.target)
    asked = f"{parameters.algorithm}/{parameters.format}"
    chosen = selection.choose(graph, dict(zip(problems, seconds, strict=True)), target, asked)
    (out / SELECTION).write_text(json.dumps(chosen.to_json(), indent=1))
    return {"expected_ms": 1e3 * chosen.expected, "samples": samples}


def _medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(times) for name, times in samples.items()}


def _measure(
    parameters: Parameters, parents: Parents, problems: Sequence[Problem]
) -> dict[Problem, dict[str, list[float]]]:
    """Return for each of `problems` candidate → milliseconds of each run."""
    assert parents.candidates, "the engine adds it where something is to be measured"
    built, evicted, address = parents.candidates.path, parents.plan.values["evicted_bytes"], parameters.address
    functions = {Problem.from_json(fields): own for fields, own in json.loads((built / FUNCTIONS).read_text())}
    session = rpc.connect(address.tracker, address.key, SESSION_SECONDS)
    rpc.set_threads(session, parameters.threads, "select", address.key)
    with silence.at_most(silence.of_bytes((built / LIBRARY).stat().st_size)):
        session.upload(str(built / LIBRARY))
        loaded = session.load_module(LIBRARY)
    weights = _weights(built)
    device = rpc.device(session, parameters.target)
    eviction = Eviction(evicted, parameters.threads, device, session.get_function(candidates.FILL))
    found = {}
    for problem in problems:
        runs = len(functions[problem]) * candidates.ROUNDS * candidates.RUNS
        with silence.at_most(silence.of_run(problem.conv.macs, runs) + compiling_seconds(parameters.target)):
            samples = candidates.sample(loaded, eviction, functions[problem], weights)
        found[problem] = {name: unbroken([1e3 * seconds for seconds in times]) for name, times in samples.items()}
    return found


def _weights(built: Path) -> dict[str, candidates.Weights]:
    """Return function → its arguments after the first, where not any numbers will do."""
    weights: dict[str, candidates.Weights] = defaultdict(list)
    with np.load(built / WEIGHTS) as arrays:
        for name in arrays.files:  # in the order they were written
            weights[name.partition(".")[0]].append(arrays[name])
    return weights
