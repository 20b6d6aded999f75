"""Network + measured costs of its layers → the algorithm of each layer, conversions between layouts counted.

Source: Anderson and Gregg, "Optimal DNN Primitive Selection with Partitioned Boolean Quadratic Programming", CGO 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from dlas_ops._types import Target
from dlas_ops.kernels.registry import Asked, Selection, implemented
from dlas_ops.placement.graph import Graph, Problem
from dlas_ops.processor.targets import describe, device_here
from dlas_ops.selection import candidates
from dlas_ops.selection.elimination import Factor, minimise, total

# One more kernel costs a network this on top of its own time: TVM's virtual machine calls it and provides its output.
CALL_SECONDS = 1e-6

# Candidates this close are equally fast: what their medians vary by from one measurement to the next.
RESOLUTION = 1.02

Costs = Mapping[Problem, Mapping[str, float]]
Measure = Callable[[Sequence[Problem]], Sequence[Mapping[str, float]]]


def here(target: Target, evicted: int) -> Measure:
    """Return the measurement of candidates in this process, which evicts `evicted` bytes before each run.

    Raises
    ------
    ValueError
        If `target` is another processor, or a GPU that TVM's runtime does not reach here.
    """
    device = device_here(target)

    def measure(problems: Sequence[Problem]) -> list[dict[str, float]]:
        return candidates.time_here(candidates.build(problems, target), evicted, device)

    return measure


def choose(graph: Graph, costs: Costs, target: Target, asked: str) -> Selection:
    """Return the algorithms that minimise the sum of the layers' and the conversions' costs.

    Parameters
    ----------
    costs : for each of ``graph.distinct()``, candidate → seconds
    asked : what the selection stands for, "auto/dense"
    """
    options = _options(graph, costs, Asked.parse(asked).format)
    resolved = {problem: _resolved(own) for problem, own in costs.items()}
    factors = list(_factors(graph, resolved, options, target))
    values = minimise({layer: len(names) for layer, names in options.items()}, factors)
    algorithms = {layer: options[layer][value] for layer, value in values.items()}
    measured = {layer: dict(costs[graph.problems[layer]]) for layer in options if layer}
    return Selection(asked, algorithms, measured, expected(graph, costs, target, algorithms))


def expected(graph: Graph, costs: Costs, target: Target, algorithms: Mapping[str, str]) -> float:
    """Return the seconds that `algorithms`, one for each layer and for "", take with all conversions between them."""
    options = _options(graph, costs, Asked.parse(algorithms[""]).format)
    values = {layer: names.index(algorithms[layer]) for layer, names in options.items()}
    return total(values, list(_factors(graph, costs, options, target)))


def _resolved(costs: Mapping[str, float]) -> dict[str, float]:
    """Return `costs` with those that timing cannot tell from the least equal to it: no conversion is for noise."""
    least = min(costs.values(), default=0.0)
    return {name: least if seconds <= RESOLUTION * least else seconds for name, seconds in costs.items()}


def _options(graph: Graph, costs: Costs, format: str) -> dict[str, list[str]]:
    """Return what each layer can be run by."""
    layers = {layer: list(costs[problem]) for layer, problem in graph.problems.items()}
    every = [Asked(name, format) for name in implemented()]
    return {"": [str(asked) for asked in every if asked.implemented], **layers}


def _factors(graph: Graph, costs: Costs, options: Mapping[str, Sequence[str]], target: Target) -> Iterator[Factor]:
    """Yield the costs of layers, of what runs in their layout, and of the tensors converted between layouts."""
    cpu = describe(target)

    def block(option: str, channels: int) -> int:
        own = int(Asked.parse(option).module.block(channels, cpu))
        return own if own > 0 else cpu.lanes()  # what runs in channel blocks only

    for layer in filter(None, options):
        yield Factor((layer,), np.array([costs[graph.problems[layer]][option] for option in options[layer]]))
    for layer, problem in graph.followers:
        blocks = [block(option, problem.conv.in_channels) for option in options[layer]]
        yield Factor((layer,), np.array([costs[problem][str(held)] for held in blocks]))
    for join in graph.joins:
        readers = [reader for reader in join.readers if reader is not None]
        plain = {0} if None in join.readers else set()
        names = (join.source, *readers)
        table = np.zeros([len(options[name]) for name in names])
        for index in np.ndindex(table.shape):
            source, *wanted = (block(options[name][i], join.shape[1]) for name, i in zip(names, index, strict=True))
            conversions = [costs[join.problem][f"{source}>{to}"] for to in ({*wanted} | plain) - {source}]
            table[index] = sum(conversions) + CALL_SECONDS * len(conversions)
        yield Factor(names, table)
