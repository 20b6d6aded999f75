"""Layers held against a base → why each takes longer than expected from its work: one cause of a closed list.

Each cause is decided by what was measured of the layer in both networks and by the device's measured peaks. The rules
stand in the order in which they are tried; the first one that applies gives the cause and its evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from explorer.profiles.profile import Row
from explorer.profiles.rooflines import BOUND_FROM, THREADS, WEIGHTS
from explorer.profiles.versus import Pair, Versus

FELL_BACK = "the layer fell back"
ZEROS = "zeros are stored dense"
CSR = "csr takes longer for each weight that is left"
NO_DOT = "no instruction multiplies 8-bit integers"
NO_HALF = "half is computed in float32"
LANES = "the channels leave vectors idle"
MEMORY = "the weights still have to be read"
FIXED = "this time does not shrink"
ELSEWHERE = "the work fell where the time is not"
BOUNDS = "the device's bounds fell less than the work"
KERNEL = "the kernel reaches less of its bounds"
CAUSES = (FELL_BACK, ZEROS, CSR, NO_DOT, NO_HALF, LANES, MEMORY, FIXED, BOUNDS, ELSEWHERE, KERNEL)

DENSE_FROM = 0.95  # share of weights that are not zero, above which no zeros are worth a word
PADDED_FROM = 1.03  # of the work with full vectors to that without, below which no lanes are worth a word


@dataclass(frozen=True)
class Finding:
    """Why a layer, or what is in no layer, takes longer than expected.

    Parameters
    ----------
    cause
        One of `CAUSES`.
    us
        Microseconds in excess of what was expected.
    evidence
        What was measured, in one sentence.
    """

    layer: str
    cause: str
    us: float
    evidence: str


Rule = Callable[[Pair, Versus], str | None]


def findings(versus: Versus) -> list[Finding]:
    """Return why layers take longer than expected from their work, and what else is in excess, the longest first.

    Their microseconds add up to the excess, but for layers that take as long as expected, or less.
    """
    found = [_of_layer(pair, versus) for pair in versus.pairs if pair.is_slower_than_expected]
    if versus.elsewhere_us > 0:
        found.append(Finding("", ELSEWHERE, versus.elsewhere_us, _elsewhere(versus)))
    if versus.not_shrunk_us > 0:
        taken, before = versus.without.own_us, versus.without.base_us
        evidence = f"what multiplies nothing takes {taken:.1f} µs and took {before:.1f} µs"
        found.append(Finding("", FIXED, versus.not_shrunk_us, evidence))
    return sorted(found, key=lambda each: -each.us)


def _of_layer(pair: Pair, versus: Versus) -> Finding:
    for cause, rule in RULES:
        if evidence := rule(pair, versus):
            return Finding(pair.own.name, cause, pair.excess_us, evidence)
    shares = f"{pair.own.roofline:.0%} of what the device can do, and {pair.base.roofline:.0%} before"
    return Finding(pair.own.name, KERNEL, pair.excess_us, f"it reaches {shares}")


def _fell_back(pair: Pair, versus: Versus) -> str | None:
    own, base = pair.own, pair.base
    if not pair.is_narrowed:
        return f"it runs in {own.dtype}, where the network has narrower layers" + f": {own.reason}" * bool(own.reason)
    without_csr = own.asked.endswith("/csr") and not own.ran.endswith("/csr")
    # An algorithm that could not run in the base either makes no difference between the two.
    if not own.reason or not (without_csr or own.ran != base.ran):
        return None
    return f"{own.asked} was asked and {own.ran} ran: {own.reason}"


def _zeros(pair: Pair, versus: Versus) -> str | None:
    own = pair.own
    if own.ran.endswith("/csr") or not own.weights or own.nonzeros > DENSE_FROM * own.weights:
        return None
    zeros = 1 - own.nonzeros / own.weights
    return f"{zeros:.0%} of its weights are zero, and {own.ran} multiplies them all"


def _csr(pair: Pair, versus: Versus) -> str | None:
    own = pair.own
    if not own.ran.endswith("/csr") or not own.weights:
        return None
    density = own.nonzeros / own.weights
    return (
        f"{density:.0%} of its weights are left and take {pair.achieved.value:.2f} of the dense layer's time; csr pays "
        f"below {break_even(pair):.0%}"
    )


def break_even(pair: Pair) -> float:
    """Return the share of weights left below which csr is the faster one, by what a weight takes in this layer."""
    own = pair.own
    return min(1.0, own.nonzeros / own.weights / pair.achieved.value)


def _no_dot(pair: Pair, versus: Versus) -> str | None:
    own, machine = pair.own, versus.own.machine
    if own.dtype != "int8" or own.arithmetic not in ("int16", "int32"):
        return None
    by = machine.dot or "the device"
    rate = f"{machine.peak(own.arithmetic):.0f} GFLOP/s where float32 has {machine.gflop_s:.0f}"
    return f"{by} multiplies its 8-bit integers as {own.arithmetic}, at {rate}"


def _no_half(pair: Pair, versus: Versus) -> str | None:
    own = pair.own
    widened = own.dtype in ("float16", "bfloat16") and own.arithmetic.startswith("float32")
    return f"its arithmetic is {own.arithmetic}" if widened else None


def _lanes(pair: Pair, versus: Versus) -> str | None:
    lanes = versus.own.machine.lanes
    padded = pair.expected * _padding(pair.own, lanes) / _padding(pair.base, lanes)
    if padded < PADDED_FROM * pair.expected:
        return None
    achieved = pair.achieved.value
    if abs(math.log(achieved / padded)) > abs(math.log(achieved / pair.expected)):
        return None
    outputs = pair.own.weight[0]
    return (
        f"{outputs} output channels are computed in vectors of {lanes}; "
        f"{_full(outputs, lanes)} would take the same {pair.own.us.value:.1f} µs"
    )


def _padding(row: Row, lanes: int) -> float:
    """Return the work of a row in full vectors of output channels, as a multiple of that without.

    Input channels are summed over one by one.
    """
    return _full(row.weight[0], lanes) / row.weight[0]


def _full(channels: int, lanes: int) -> int:
    return -(-channels // lanes) * lanes


def _memory(pair: Pair, versus: Versus) -> str | None:
    own = pair.own
    if own.bounds.by(own.us.value) != WEIGHTS:
        return None
    return (
        f"its {own.weight_bytes / 1e6:.2f} MB, {pair.bytes_ratio:.2f} of before, take at least "
        f"{own.bounds.weights:.1f} of its {own.us.value:.1f} µs at {versus.own.machine.gb_s:.0f} GB/s"
    )


def _fixed(pair: Pair, versus: Versus) -> str | None:
    own = pair.own
    if own.bounds.by(own.us.value) != THREADS and own.bounds.threads < BOUND_FROM * own.us.value:
        return None
    return f"its threads take {own.bounds.threads:.1f} of its {own.us.value:.1f} µs to meet"


def _bounds(pair: Pair, versus: Versus) -> str | None:
    own, base = pair.own, pair.base
    if own.bounds.least_us < pair.achieved.value * base.bounds.least_us:
        return None
    threads = versus.own.threads, versus.base.threads
    by = "on fewer threads, {} in place of {}, ".format(*threads) if threads[0] < threads[1] else ""
    return (
        f"{by}the device needs at least {own.bounds.least_us:.1f} of its {own.us.value:.1f} µs, and needed "
        f"{base.bounds.least_us:.1f} of {base.us.value:.1f} µs before"
    )


# In this order: what the compiler says of the layer, then what the kernel is, then what the device bounds.
RULES: tuple[tuple[str, Rule], ...] = (
    (FELL_BACK, _fell_back),
    (ZEROS, _zeros),
    (CSR, _csr),
    (NO_DOT, _no_dot),
    (NO_HALF, _no_half),
    (LANES, _lanes),
    (MEMORY, _memory),
    (FIXED, _fixed),
    (BOUNDS, _bounds),
)


def _elsewhere(versus: Versus) -> str:
    """Return which layers had the time and kept their work."""
    kept = [pair for pair in versus.pairs if pair.expected > versus.expected]
    share = sum(pair.base.us.value for pair in kept) / (1e3 * versus.base.network_ms.value)
    layers = "1 layer" if len(kept) == 1 else f"{len(kept)} layers"
    return f"{layers}, {share:.0%} of the time before, lost less of the work than the network as a whole"
