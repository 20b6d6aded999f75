"""Candidate kernels and a device → the algorithm of every layer, by what its candidates take on the device over RPC."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tvm

from dlas_ops import candidates, selection
from dlas_ops.graph import Graph
from explorer import rpc
from explorer.stages.candidates import FUNCTIONS, GRAPH, LIBRARY
from explorer.store import Artifact

VERSION = 1
WORKER = "tvm"
SELECTION = "selection.json"
SESSION_SECONDS = 600


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the selection; return its ``expected_ms`` and, of what was measured now, the ``samples``.

    Parameters
    ----------
    parameters
        ``algorithm``, ``format``, ``target``, ``threads``, and of the device ``tracker`` and ``key``; ``known`` has for
        every problem candidate → milliseconds or, where that is to be measured, nothing.
    parents
        ``candidates``.

    Returns
    -------
    dict
        ``samples``: for every problem candidate → milliseconds of each run, nothing where that was known.
    """
    built = parents["candidates"].path
    functions = json.loads((built / FUNCTIONS).read_text())
    known: Sequence[Mapping[str, float]] = parameters["known"]
    wanted = [{} if costs else own for costs, own in zip(known, functions, strict=True)]
    samples = _measure(parameters, built / LIBRARY, wanted) if any(wanted) else wanted
    costs = [own or _medians(new) for own, new in zip(known, samples, strict=True)]

    graph = Graph.from_json(json.loads((built / GRAPH).read_text()))
    seconds = [{name: 1e-3 * milliseconds for name, milliseconds in own.items()} for own in costs]
    target = tvm.target.Target(parameters["target"])
    asked = f"{parameters['algorithm']}/{parameters['format']}"
    chosen = selection.choose(graph, dict(zip(graph.distinct(), seconds, strict=True)), target, asked)
    (out / SELECTION).write_text(json.dumps(chosen.to_json(), indent=1))
    return {"expected_ms": 1e3 * chosen.expected, "samples": samples}


def _medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(times) for name, times in samples.items()}


def _measure(parameters: Mapping[str, Any], library: Path, wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the milliseconds of each run of the functions in `wanted`."""
    session = rpc.connect(parameters["tracker"], parameters["key"], SESSION_SECONDS)
    rpc.set_threads(session, parameters["threads"], "select", parameters["key"])
    session.upload(str(library))
    loaded, fill = session.load_module(library.name), session.get_function(candidates.FILL)
    samples = [candidates.sample(loaded, session.cpu(), fill, own) for own in wanted]
    return [{name: [1e3 * seconds for seconds in times] for name, times in own.items()} for own in samples]
