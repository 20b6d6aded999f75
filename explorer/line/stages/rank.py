"""Harm of 8 bits in each layer, and its time in both networks → the layers in the order to quantize them in."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from explorer.line.contracts.rank import Parameters, Parents, Values
from explorer.line.device.counting import counting
from explorer.line.stages.harm import HARMS
from explorer.line.stages.profile import PROFILE

VERSION = 1
WORKER = "tvm"
RANKING = "ranking.json"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write for each layer its harm, its times in microseconds and its place in the order, null where it saves none.

    Layers are independent as far as their order goes: those that lose least for a microsecond come first, which is the
    greedy solution of the knapsack problem. A layer without a program of its own in either network has no time there,
    and saves none.
    """
    harms: dict[str, float] = json.loads((parents.harm.path / HARMS).read_text())
    exact, quantized = layer_us(parents.exact.path), layer_us(parents.quantized.path)
    times = {layer: (_time(layer, exact), _time(layer, quantized)) for layer in harms}
    saved = {
        layer: before - after for layer, (before, after) in times.items() if before is not None and after is not None
    }
    faster = [layer for layer in harms if saved.get(layer, 0.0) > 0]
    order = sorted(faster, key=lambda layer: harms[layer] / saved[layer])
    rows = [
        {
            "layer": layer,
            "harm": harms[layer],
            "float32_us": times[layer][0],
            "int8_us": times[layer][1],
            "place": order.index(layer) if layer in faster else None,
        }
        for layer in harms
    ]
    (out / RANKING).write_text(json.dumps(rows))
    return {"order": order, "slower": len(harms) - len(order)}


def layer_us(profile: Path) -> dict[str, float]:
    """Return what each layer of a profiled network takes, in microseconds: the median of quiet samples and sessions.

    A program that computes several layers takes an equal share of its time for each.
    """
    found = json.loads((profile / PROFILE).read_text())
    sessions = counting(found["sessions"])
    samples = [each["calls_us"][index] for each in sessions for index in each["quiet"] or range(len(each["calls_us"]))]
    times: dict[str, float] = defaultdict(float)
    for place, call in enumerate(found["calls"]):
        for layer in call["layers"]:
            times[layer] += median(sample[place] for sample in samples) / len(call["layers"])
    return times


def _time(layer: str, times: Mapping[str, float]) -> float | None:
    """Return the time of a layer; one that shares its weights is named after its output where it is folded."""
    return times.get(layer, times.get(layer.partition("_of_")[0]))
