"""Drawn studies on several devices, in which trials may be missing or have failed."""

from __future__ import annotations

from typing import Any

import pandas as pd
from hypothesis import strategies as st

from explorer.space.toml.space_file import Direction
from tests.explorer.frames import complete, failed, frame_of

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
DEVICES = ("a", "b", "c")
AXES: tuple[dict[str, Any], ...] = (
    {},
    {"algorithm": "gemm"},
    {"threads": 2},
    {"compression": "weight_pruning", "ratio": 0.5},
    {"compression": "channel_pruning", "ratio": 0.5, "channel_multiple": "vector"},
    {"compression": "channel_pruning", "ratio": 0.5, "channel_multiple": 8},
)
FEW_VALUES = st.sampled_from([1.0, 1.02, 1.5, 2.0, 4.0])  # so that equal and overlapping latencies occur


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Return a study of six stacks on two or three devices."""
    rows: list[dict[str, Any]] = []
    for axes in AXES:
        accuracy = draw(st.sampled_from([0.8, 0.9, 0.95]))
        for device in DEVICES[: draw(st.integers(2, 3))]:
            match draw(st.sampled_from(["complete", "complete", "complete", "failed", "missing"])):
                case "complete":
                    rows.append(complete(len(rows), accuracy, draw(FEW_VALUES), **axes, device=device))
                case "failed":
                    rows.append(failed(len(rows), **axes, device=device))
    for device in DEVICES[:2]:
        rows.append(failed(len(rows), **AXES[0], threads=4, device=device))
    return frame_of(*rows)
