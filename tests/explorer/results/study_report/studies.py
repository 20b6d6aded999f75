"""Studies built for a report: frames whose right answers are known, drawn ones, and what a report looks at of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from explorer.fronts import certainty
from explorer.results.study_report.evidence import Evidence
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction
from tests.explorer.frames import complete, failed, frame_of

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
# For what takes long: a fifth of the cases that are drawn elsewhere.
FEWER = settings(max_examples=settings().max_examples // 5)
COMPRESSIONS: tuple[dict[str, Any], ...] = (
    {"compression": "none"},
    {"compression": "weight_pruning", "ratio": 0.5},
    {"compression": "weight_pruning", "ratio": 0.9},
    {"compression": "weight_pruning", "ratio": 0.5, "format": "csr"},
    {"compression": "weight_pruning", "ratio": 0.9, "format": "csr"},
    {"compression": "channel_pruning", "ratio": 0.5, "channel_multiple": 8},
    {"compression": "int8"},
)


def evidence(frame: pd.DataFrame, limits: Sequence[Limit] = (), emulated: bool = False) -> Evidence:
    """Return what a report looks at of a study called ``drawn``."""
    fronts = certainty.front_with_ties(frame, OBJECTIVES, limits)
    return Evidence.of("drawn", frame, fronts, OBJECTIVES, limits, emulated)


def costed(row: dict[str, Any], macs: int = 1000, weight_bytes: int = 400, nonzeros: int = 100) -> dict[str, Any]:
    """Return a complete trial's row with what its network costs; it has 100 weights."""
    return {**row, "macs": macs, "weight_bytes": weight_bytes, "weights": 100, "nonzeros": nonzeros}


def drawn(seed: int, devices: tuple[str, ...] = ("a", "b")) -> pd.DataFrame:
    """Return a study over all that questions compare, drawn at random; stacks of it are missing or have failed."""
    rows, chance = list[dict[str, Any]](), random.Random(seed)
    few = chance.random() < 0.3  # a study of little, in which questions have one pair or none
    for device, compression, algorithm, tuning in product(devices, COMPRESSIONS, ("direct", "gemm"), (0, 64)):
        axes = {**compression, "device": device, "algorithm": algorithm, "tuning_trials": tuning}
        axes |= {"tuner": "template"} if tuning else {}
        state = chance.choice(["complete"] * (2 if few else 10) + ["failed", "missing"] * (4 if few else 1))
        if state == "complete":
            row = complete(len(rows), chance.choice([0.7, 0.8, 0.85, 0.9]), round(chance.uniform(1, 1.5), 2), **axes)
            rows.append(costed(row, chance.choice([500, 1000]), chance.choice([100, 400]), chance.choice([10, 50])))
        elif state == "failed":
            kind = chance.choice(["crash", "wrong_output"])
            rows.append(failed(len(rows), chance.choice(["measure", "build"]), kind, **axes))
    rows.append(failed(len(rows), "latency", "dominated", threads=4, device=devices[0]) | {"state": "skipped"})
    return frame_of(*rows)


seeds = st.integers(0, 10**6)  # of `drawn`: a frame that is drawn choice by choice takes minutes to shrink
