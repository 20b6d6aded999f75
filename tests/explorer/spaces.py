"""Search-space files for the tests, written from Python values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from explorer.core import plugins
from explorer.core.errors import SpaceError
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

# Lines 2 to 7 of a file; tests read its error.
VALID: Mapping[str, Any] = {
    "dataset": "digits",
    "model": ["mobilenetv2", "resnet18"],
    "compression": ["none", "weight_pruning"],
    "ratio": [0.5],
    "algorithm": ["direct", "gemm"],
    "threads": [1, 2],
}


# Nightly all of them: `tests/contract/test_samplers.py` reloads a study of each every time.
FEW_SAMPLERS = [
    name if name in ("auto", "grid", "nsga2") else pytest.param(name, marks=pytest.mark.nightly)
    for name in plugins.names("sampler")
]


class Raw(str):
    """A value as it stands in the file."""


def toml(value: Any) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key) else json.dumps(key)


def render(
    axes: Mapping[str, Any], constraints: Sequence[Any] = (), name: str = "", /, **tables: Mapping[str, Any]
) -> str:
    """Return a search-space file, one line a key; axes that are None are left out.

    Parameters
    ----------
    tables
        The other tables, such as ``search={"sampler": "grid"}``.
    """
    lines = [f"name = {toml(name)}"] if name else []
    for table, values in {"axes": axes, **tables}.items():
        lines += [f"[{table}]", *(f"{_key(key)} = {toml(value)}" for key, value in values.items() if value is not None)]
    for constraint in constraints:
        lines += ["[[constraints]]", *(f"{key} = {toml(value)}" for key, value in constraint.items())]
    return "\n".join(lines) + "\n"


def write(folder: Path, axes: Mapping[str, Any], constraints: Any = (), **search: Any) -> Path:
    path = folder / "drawn.toml"
    path.write_text(render(axes, constraints, search=search))
    return path


def make(folder: Path, axes: Mapping[str, Any] = SMALL, constraints: Any = (), **search: Any) -> Space:
    return space.load(write(folder, axes, constraints, **search))


def refused(folder: Path, text: str) -> str:
    """Return the sentence with which a file of this text is refused, without the folder."""
    path = folder / "x.toml"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        space.load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


def refusal(
    folder: Path, axes: Mapping[str, Any] | None = None, constraints: Sequence[Any] = (), **tables: Mapping[str, Any]
) -> str:
    """Return the sentence with which `VALID` is refused once it has these `axes`, `constraints` and `tables`."""
    return refused(folder, render({**VALID, **(axes or {})}, constraints, **tables))
