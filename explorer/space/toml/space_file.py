"""A search-space file → its name, objectives and settings, checked; ``search_options`` reads how it is searched."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from explorer.core import names
from explorer.core.configuration import AXES, parts
from explorer.core.errors import SpaceError, did_you_mean
from explorer.core.measurement.metric import Direction as Direction
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY, QUANTITIES, SIZE, Quantity, quantities
from explorer.core.settings import Settings
from explorer.space.toml.toml_file import TomlFile

DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")
SETTINGS = tuple(Settings.model_fields)
TABLES = ("axes", "objectives", "search", *SETTINGS)
# Columns of every trial, whose names no metric may have.
COLUMNS = ("number", "state", "seconds", "failure", "agreement", "dtype", "weights", "nonzeros", "channels")
RUNGS = ("tuning_trials", "tuning_seconds")  # the tuning budgets
DEVICES_FILE = "devices.toml"
BUNDLED = Path(__file__).parents[3] / "search_spaces"


def find(space: Path | str) -> Path:
    """Return the file of `space`, a path or the name of a space in ``search_spaces``.

    Raises
    ------
    SpaceError
        If there is no such file; the message lists the spaces there are.
    """
    path = Path(space)
    if path.is_file():
        return path
    spaces = {known.stem: known for known in bundled()}
    if str(space) in spaces:
        return spaces[str(space)]
    if path.suffix:
        siblings = [sibling.name for sibling in path.parent.glob("*.toml") if sibling.name != DEVICES_FILE]
        near = difflib.get_close_matches(path.name, siblings, n=1)
        raise SpaceError(f"{path}: no such file" + (f"; did you mean '{path.with_name(near[0])}'?" if near else ""))
    raise SpaceError(f"unknown search space '{space}'{did_you_mean(space, spaces)}")


def bundled() -> list[Path]:
    """Return the search-space files that come with the explorer, sorted by name."""
    return sorted(path for path in BUNDLED.glob("*.toml") if path.name != DEVICES_FILE)


def check_tables(file: TomlFile) -> None:
    """Refuse keys and tables that a search-space file does not have."""
    known = ("name", *TABLES, "constraints")
    for key, value in file.content.items():
        if key not in known:
            raise file.error(f"unknown key '{key}' in a search-space file{did_you_mean(key, known)}", key)
        if key in TABLES and not isinstance(value, dict):
            raise file.error(f"{key} is a table: it starts with a line [{key}]", key)


def read_name(file: TomlFile) -> str:
    """Return the space's name, which its study has, too: the file's stem unless given."""
    name = file.content.get("name", file.path.stem)
    if not isinstance(name, str) or not name.strip():
        raise file.error(f"name is a text, not {name!r}", "name")
    if wrong := names.refused(name):
        raise file.error(f"study {wrong}", "name")
    return name


def read_objectives(file: TomlFile, devices: Sequence[str], metric: Metric) -> dict[str, Direction]:
    """Return quantity → direction, in the order of the file.

    Parameters
    ----------
    devices
        The choices on the axis `device`.
    metric
        What networks are judged by.
    """
    unless_given = {metric.name: metric.direction, str(LATENCY): "minimize", str(SIZE): "minimize"}
    table = file.content.get("objectives", unless_given)
    if not table:
        raise file.error("[objectives] lists none", "objectives")
    objectives: dict[str, Direction] = {}
    for name, value in table.items():
        quantity = Quantity.parse(name)
        known = quantities(metric.name, each_device=quantity.device is not None)
        if quantity.name not in known:
            unknown = f"unknown objective '{quantity.name}'{did_you_mean(quantity.name, known)}"
            raise file.error(unknown, "objectives", name)
        if quantity.device is not None:
            _check_device(file, name, quantity.device, devices)
        direction = next((known for known in DIRECTIONS if known == value), None)
        if direction is None:
            raise file.error(
                f"unknown direction {value!r} of objective {name}{did_you_mean(value, DIRECTIONS)}", "objectives", name
            )
        if quantity == metric.quantity and not metric.is_accuracy and direction != metric.direction:
            raise file.error(
                f"objective {name} says {direction}, and [evaluate] direction {metric.direction}: give both alike",
                "objectives", name,
            )  # fmt: skip
        objectives[name] = direction
    return objectives


def _check_device(file: TomlFile, objective: str, device: str, choices: Sequence[str]) -> None:
    """Refuse an objective on a device that some stacks are not judged on, or on their only one."""
    if not all("+" in choice and device in parts(choice) for choice in choices):
        raise file.error(
            f"objective '{objective}' needs stacks that are all judged on several devices, {device} among them: "
            f"choices such as '{device}+other' on axis device; it has {', '.join(choices)}",
            "objectives", objective,
        )  # fmt: skip


def read_settings(file: TomlFile) -> Settings:
    """Return the settings of the stages."""
    settings = file.validate(Settings, {key: file.content[key] for key in SETTINGS if key in file.content}, ())
    name = settings.metric.name
    if settings.evaluate.metric and name in (*AXES, *(each for each in QUANTITIES if each != "accuracy"), *COLUMNS):
        raise file.error(
            f"metric '{settings.evaluate.metric}' has the name of another column, '{name}': rename the function",
            "evaluate", "metric",
        )  # fmt: skip
    return settings
