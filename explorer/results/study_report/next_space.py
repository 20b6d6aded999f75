"""What a study has measured and what its answers lack → the next search space to run, as a TOML file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.core import plugins
from explorer.core.configuration import AXES, takes_channel_multiple, takes_max_drop, takes_ratio
from explorer.core.errors import SpaceError
from explorer.results.study_report.answer import Needs
from explorer.results.study_report.evidence import Evidence
from explorer.space import devices
from explorer.space.axes import INTEGERS, read_axes
from explorer.space.rules.constraints import read_constraints
from explorer.space.rules.prefix_tree import grow
from explorer.space.space import load
from explorer.space.toml import space_file
from explorer.space.toml.space_file import DEVICES_FILE, SETTINGS
from explorer.space.toml.toml_file import TomlFile

if TYPE_CHECKING:
    import pandas as pd

Choices = Mapping[str, Sequence[Any]]
EXTENDED = ("algorithm", "compression", "model")  # axes whose choices come with the explorer and need nothing else
MOST_CHOICES = 4  # of numbers that the stacks on the fronts have on an axis; of more, those spread over their order
MOST_IN_GRID = 200  # configurations that are all run
HEAD = """# The next space after study {study}: the choices of the stacks on its fronts and tied with them, and what its
# report lacks. `dlas spaces` counts it, `dlas run` runs it.
"""


@dataclass(frozen=True)
class NextSpace:
    """A search space that was written.

    Parameters
    ----------
    added
        Axis → the choices that no stack on a front has.
    configurations
        How many it has.
    """

    path: Path
    added: Mapping[str, Sequence[Any]]
    configurations: int


def further(evidence: Evidence, importances: pd.DataFrame) -> Needs | None:
    """Return what to try where no answer lacks anything: choices of the axis that explains most, which nobody measured.

    Parameters
    ----------
    importances
        As `explorer.results.study_report.questions.importances.table` returns them.
    """
    alone = importances[
        (importances["target"] == "log latency") & (importances["by"] == "axis") & (importances["with"] == "")
    ]
    for axis in [*alone["factor"], *EXTENDED]:
        if axis in EXTENDED:
            untried = [name for name in plugins.names(axis) if name not in evidence.choices(axis)]
            if untried:
                return Needs({axis: untried}, f"{axis} explains most of those with choices left")
    return None


def wanted(evidence: Evidence, needs: Iterable[Needs]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Return axis → choices of the next space, and those among them that no stack on a front has."""
    rows = evidence.fronts if len(evidence.fronts) else evidence.complete
    rows = rows if len(rows) else evidence.frame
    kept: dict[str, list[Any]] = {axis: _few(_plain(axis, rows[axis].dropna().unique())) for axis in AXES}
    added: dict[str, list[Any]] = {}
    for need in needs:
        for axis, choices in need.axes.items():
            new = [choice for choice in choices if choice not in kept[axis] + added.get(axis, [])]
            if new:
                added.setdefault(axis, []).extend(new)
    axes = {axis: kept[axis] + added.get(axis, []) for axis in AXES}
    _complete(axes)
    return {axis: choices for axis, choices in axes.items() if choices}, added


def write(path: Path, evidence: Evidence, needs: Sequence[Needs], source: Path | None = None) -> NextSpace | None:
    """Write the next space; None where no valid one follows from what is on record.

    Parameters
    ----------
    source
        The space file of the study's latest run, whose settings and constraints stay; a file that is gone is left out.
    """
    axes, added = wanted(evidence, needs)
    before = _content(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    every: tuple[Sequence[Mapping[str, Any]], ...] = (before.get("constraints", []), [])
    for constraints in every:
        chosen, count = _possible(path, axes, constraints)
        for limits in (list(map(str, evidence.limits)), []):
            found = _written(path, evidence, chosen, _kept(constraints, chosen), before, limits, count <= MOST_IN_GRID)
            if found is not None:
                new = {axis: [each for each in chosen.get(axis, ()) if each in own] for axis, own in added.items()}
                return NextSpace(path, {axis: own for axis, own in new.items() if own}, found)
    path.unlink(missing_ok=True)
    return None


def _written(
    path: Path,
    evidence: Evidence,
    axes: Choices,
    constraints: Sequence[Mapping[str, Any]],
    before: Mapping[str, Any],
    limits: Sequence[str],
    whole: bool,
) -> int | None:
    """Write a space, to be run as a `whole` or in part, and return its configurations; None if it is no valid one."""
    tables: dict[str, Mapping[str, Any]] = {"axes": axes, "objectives": evidence.objectives}
    settings = {name: before[name] for name in SETTINGS if name in before}
    search: dict[str, Any] = {"sampler": "grid"} if whole else {"sampler": "auto", "trials": MOST_IN_GRID}
    search |= {"limits": limits} if limits else {}
    text = _rendered(f"{evidence.name}-next", {**tables, "search": search, **settings}, constraints)
    path.write_text(HEAD.format(study=json.dumps(evidence.name)) + text, encoding="utf-8")
    try:
        return load(path, to_run=False).count
    except SpaceError:
        return None


def _plain(axis: str, choices: Iterable[Any]) -> list[Any]:
    """Return choices as TOML takes them, sorted, numbers before names."""
    plain = [each.item() if hasattr(each, "item") else each for each in choices]
    whole = [int(each) if axis in INTEGERS and not isinstance(each, str) else each for each in plain]
    return sorted(whole, key=lambda each: (isinstance(each, str), each))


def _few(choices: Sequence[Any]) -> list[Any]:
    """Return all choices or, of many numbers, `MOST_CHOICES` that are spread over their order."""
    if len(choices) <= MOST_CHOICES or any(isinstance(each, str) for each in choices):
        return list(choices)
    places = (round(index * (len(choices) - 1) / (MOST_CHOICES - 1)) for index in range(MOST_CHOICES))
    return [choices[place] for place in places]


def _complete(axes: dict[str, list[Any]]) -> None:
    """Leave out choices on axes that no other choice brings about, and add those that one needs."""
    compressions = axes["compression"]
    if "csr" in axes["format"] and not any("weight_pruning" in each.split("+") for each in compressions):
        compressions.append("weight_pruning")
    if not any(map(takes_ratio, compressions)):
        axes["ratio"] = []
    elif not axes["ratio"]:
        axes["ratio"] = [0.5, 0.75]
    if not any(map(takes_channel_multiple, compressions)):
        axes["channel_multiple"] = []
    if not any(map(takes_max_drop, compressions)):
        axes["max_drop"] = []
    if not any((*axes["tuning_trials"], *axes["tuning_seconds"])):
        axes["tuner"] = []


def _possible(path: Path, axes: Choices, constraints: Sequence[Mapping[str, Any]]) -> tuple[Choices, int]:
    """Return the choices that some valid configuration has, and how many these are.

    A space that lists other choices is refused.
    """
    left: Choices = axes
    while True:
        path.write_text(_rendered("next", {"axes": left}, _kept(constraints, left)), encoding="utf-8")
        file = TomlFile.read(path)
        try:
            read = read_axes(file, devices.load(path.with_name(DEVICES_FILE)))
            tree = grow(read, read_constraints(file, read))
        except SpaceError:
            return left, 0
        by_axis = dict(zip(read, tree.used(), strict=False))
        found = {axis: [each for each in own if each in by_axis.get(axis, ())] for axis, own in left.items()}
        possible = {axis: own for axis, own in found.items() if own}
        if possible == left or not tree.count:
            return left, tree.count
        left = possible


def _kept(constraints: Sequence[Mapping[str, Any]], axes: Choices) -> list[Mapping[str, Any]]:
    """Return the constraints as far as they are about choices that the space has."""
    found: list[Mapping[str, Any]] = []
    for table in constraints:
        parts = {part: _within(table.get(part, {}), axes) for part in ("when", "require", "forbid")}
        if any(not own for own in parts["when"].values()):
            continue  # it never applies
        impossible = {axis: list(axes[axis]) for axis, own in parts["require"].items() if not own and axis in axes}
        require = {axis: own for axis, own in parts["require"].items() if own}
        forbid = {axis: own for axis, own in parts["forbid"].items() if own} | impossible
        if require or forbid:
            kept = {"when": parts["when"], "require": require, "forbid": forbid}
            found.append({part: own for part, own in kept.items() if own})
    return found


def _within(conditions: Mapping[str, Any], axes: Choices) -> dict[str, Any]:
    """Return each axis with the values of a condition that the space has; those of a range as they are."""
    found: dict[str, Any] = {}
    for axis, value in conditions.items():
        listed = value if isinstance(value, list) else [value]
        inside = (
            value
            if isinstance(value, dict) and axis in axes
            else [each for each in listed if each in axes.get(axis, ())]
        )
        found[axis] = inside
    return found


def _content(source: Path | None) -> dict[str, Any]:
    try:
        return {} if source is None else tomllib.loads(space_file.find(source).read_text(encoding="utf-8"))
    except (SpaceError, OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def _rendered(name: str, tables: Mapping[str, Mapping[str, Any]], constraints: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"name = {_value(name)}"]
    for table, values in tables.items():
        lines += ["", f"[{table}]", *(f"{_key(key)} = {_value(value)}" for key, value in values.items())]
    for constraint in constraints:
        lines += ["", "[[constraints]]", *(f"{key} = {_value(value)}" for key, value in constraint.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Return a value as TOML; its strings, numbers and lists are those of JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key, ensure_ascii=False)
