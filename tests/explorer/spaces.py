"""Search-space files for the tests, written from Python values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.space import space
from explorer.space.space import Space

SMALL: Mapping[str, Any] = {
    "dataset": ["digits"],
    "model": ["mobilenetv2", "resnet18"],
    "compression": ["none", "weight_pruning", "channel_pruning"],
    "ratio": [0.5, 0.75],
    "algorithm": ["direct", "gemm"],
    "threads": [1, 2],
}


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def write(folder: Path, axes: Mapping[str, Any], constraints: Any = (), **search: Any) -> Path:
    lines = ["[axes]", *(f"{name} = {toml(value)}" for name, value in axes.items())]
    lines += ["[search]", *(f"{name} = {toml(value)}" for name, value in search.items())]
    for constraint in constraints:
        lines += ["[[constraints]]", *(f"{name} = {toml(value)}" for name, value in constraint.items())]
    path = folder / "drawn.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def make(folder: Path, axes: Mapping[str, Any] = SMALL, constraints: Any = (), **search: Any) -> Space:
    return space.load(write(folder, axes, constraints, **search))
