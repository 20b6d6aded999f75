"""Network in float32 and in 8-bit integers → the network with as many layers quantized as may be lost in accuracy.

Layers are ranked by the change of the output that 8 bits in each alone make (stage ``harm``), for the time saved on the
device (stages ``profile`` and ``rank``). The longest beginning of that order which loses at most `max_drop` is found by
bisection: each beginning that is tried is compiled and judged as any other network is, so that the one in the end is
evaluated already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, cast

from explorer.core.artifact import Artifact
from explorer.core.errors import Failure, StageFailed
from explorer.line import contracts
from explorer.line.contracts.compress import Network
from explorer.line.trials.steps import Compressed, Data, Ranked, Steps

MOST_STEPS = 7  # of the bisection: up to 128 layers one by one, of more every second, third, …
ROUNDING = 1e-9  # of differences of accuracies

Quantized = Artifact[contracts.quantize.Values]


class Mixed(NamedTuple):
    """The network to go on with and, of a stack that mixes dtypes, the order that its layers were quantized in."""

    network: Network
    ranked: Ranked | None = None


def mixed(steps: Steps, data: Data, compressed: Compressed, network: Network) -> Mixed:
    """Return the network whose layers are quantized as far as a stack that mixes dtypes allows; of any other `network`.

    Parameters
    ----------
    compressed
        The network in float32.
    network
        It in 8-bit integers, of a stack that mixes the two.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if no layer is faster in 8 bits, or none can be quantized without losing more.
    """
    if steps.c.max_drop is None:
        return Mixed(network)
    exact = replace(steps, c=replace(steps.c, compression=steps.c.in_float32, max_drop=None))
    quantized = cast(Quantized, network)  # as its compression ends in int8
    ranked = _ranked(steps, exact, data, compressed, quantized)
    judged = _judged(exact, data, compressed, compressed)
    return Mixed(_longest(steps, data, compressed, quantized, ranked, judged), ranked)


def _ranked(steps: Steps, exact: Steps, data: Data, compressed: Compressed, quantized: Quantized) -> Ranked:
    """Return the layers that 8 bits make faster, those first that lose least for the time that they save."""
    harm = steps.engine.run(
        contracts.harm.Stage(
            contracts.harm.Parameters(steps.settings.quantize.seed),
            contracts.harm.Parents(data, compressed, quantized),
        )
    )
    parents = contracts.rank.Parents(harm, exact.timed(compressed), steps.timed(quantized))
    ranked = steps.engine.run(contracts.rank.Stage(contracts.rank.Parameters(), parents))
    if not ranked.values["order"]:
        message = f"no layer of the network is faster in 8 bits on device {steps.c.device}, so none is quantized"
        raise StageFailed(Failure("rank", "not_applicable", message))
    return ranked


def _longest(
    steps: Steps, data: Data, compressed: Compressed, quantized: Quantized, ranked: Ranked, judged: float
) -> Network:
    """Return the network that has the longest beginning of the order quantized, and loses no more than allowed."""
    order, allowed, metric = ranked.values["order"], steps.c.max_drop, steps.settings.metric
    assert allowed is not None, "a stack that mixes dtypes says how much it may lose"

    def beginning(count: int) -> Network:
        if count == len(order) and not ranked.values["slower"]:
            return quantized  # stacks in int8 share all that follows
        parameters = contracts.mix.Parameters(sorted(order[:count]))
        return steps.engine.run(contracts.mix.Stage(parameters, contracts.mix.Parents(data, compressed, quantized)))

    def lost(count: int) -> float:
        return -metric.gain(_judged(steps, data, compressed, beginning(count)), judged)

    fitting, beyond = 0, len(order)
    if lost(beyond) <= allowed + ROUNDING:
        return beginning(beyond)
    for _ in range(MOST_STEPS):
        if beyond - fitting == 1:
            break
        middle = (fitting + beyond) // 2
        fitting, beyond = (middle, beyond) if lost(middle) <= allowed + ROUNDING else (fitting, middle)
    if not fitting:
        message = (
            f"max_drop {allowed:g} allows no layer in 8 bits: with {beyond} quantized, beginning with {order[0]}, "
            f"which does least harm for the time that it saves, the network loses {metric.difference(lost(beyond))}"
        )
        raise StageFailed(Failure("mix", "not_applicable", message))
    return beginning(fitting)


def _judged(steps: Steps, data: Data, compressed: Compressed, network: Network) -> float:
    """Return the accuracy of a network as it is compiled untuned, or the metric of the user's own."""
    selected = steps.select(steps.plan(network))
    lowered = steps.lower(network, selected)
    evaluated = steps.evaluate(data, compressed, network, selected, lowered, steps.build(lowered))
    scored = steps.score(data, evaluated)
    return scored.values["value"] if scored else evaluated.values["accuracy"]
