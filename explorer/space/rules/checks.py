"""The parts of a search space that was read → an error where no study of it could be run as it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from explorer.core.configuration import AXES, EXISTS, parts
from explorer.core.errors import SpaceError, did_you_mean
from explorer.space.axes import Axis, Choice
from explorer.space.devices import TARGET_KINDS
from explorer.space.rules.constraints import Constraint
from explorer.space.rules.prefix_tree import Node, grow
from explorer.space.toml.toml_file import TomlFile


def check_choices(file: TomlFile, axes: Mapping[str, Axis], constraints: Sequence[Constraint], tree: Node) -> None:
    """Refuse a space that is empty, or that lists a choice which no configuration can have.

    Such a choice would be left out of the study without a word.

    Parameters
    ----------
    tree
        Of the valid configurations; see `explorer.space.rules.prefix_tree`.
    """
    if not tree.count:
        reasons = Counter[str]()
        grow(axes, constraints, reasons)
        raise file.error(f"the space has no valid configuration: {reasons.most_common(1)[0][0]}", "axes")
    for (name, axis), used in zip(axes.items(), tree.used(), strict=True):
        for index, choice in enumerate(axis.choices):
            if axis.range is None and choice not in used:
                reason = _why_never(axes, constraints, name, choice)
                raise file.error(f"no valid configuration has {name} {choice}: {reason}", "axes", name, index)


def check_budgets(file: TomlFile, axis: Axis) -> None:
    """Refuse rungs over an `axis` of less than two budgets."""
    if axis.continuous or len(axis.choices) < 2:
        raise file.error(
            f"rungs '{axis.name}' needs a list of two budgets or more on axis {axis.name}", "search", "rungs"
        )


def check_lowest_rung(file: TomlFile, axis: str, axes: Mapping[str, Axis], tree: Node) -> None:
    """Refuse rungs where a choice cannot be had with the least budget.

    Parameters
    ----------
    axis
        Of the budgets.
    axes, tree
        Of the part of the space on the lowest rung.
    """
    for (name, own), used in zip(axes.items(), tree.used() or [set()] * len(AXES), strict=True):
        missing = [choice for choice in own.choices if name != "tuner" and own.range is None and choice not in used]
        if missing:
            raise file.error(
                f"rungs '{axis}' begin with {axes[axis].choices[0]}, with which no valid configuration has "
                f"{name} {missing[0]}",
                "search", "rungs",
            )  # fmt: skip


def unknown_devices(file: TomlFile, missing: Sequence[str], entries: Collection[str], devices_file: Path) -> SpaceError:
    """Return the error about devices without an entry: what is missing and, unless it is a slip, what to write.

    Parameters
    ----------
    missing
        Names on the axis ``device`` that `devices_file` has no entry for.
    entries
        Names of those that it has.
    """
    first, *others = missing
    hint = did_you_mean(first, entries)
    if others or not hint.endswith("?"):  # names that are no slip of an entry's
        hint = (
            f"; allowed: {', '.join(entries)}; a device needs an entry such as [{first}] in {devices_file}, with its "
            f"tracker and target; this version has schedules for targets of kind {', '.join(TARGET_KINDS)}"
        )
    names = ", ".join(f"'{name}'" for name in missing)
    message = f"unknown device{'s' if others else ''} {names} on axis device{hint}"
    choices = file.content["axes"]["device"]
    listed = choices if isinstance(choices, list) else []  # a single choice stands on the axis' own line
    return file.error(message, "axes", "device", *[index for index, c in enumerate(listed) if first in parts(c)][:1])


def _why_never(axes: Mapping[str, Axis], constraints: Sequence[Constraint], name: str, choice: Choice) -> str:
    """Return the most common reason for which no configuration has `choice` on axis `name`."""
    reasons = Counter[str]()
    grow({**axes, name: Axis(name, (choice,))}, constraints, reasons)
    if not reasons:  # an axis that exists with some choices only was passed over
        return f"no {' and '.join(EXISTS[name][0])} of the space takes a {name}"
    return reasons.most_common(1)[0][0]
