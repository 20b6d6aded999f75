"""The target of a device's entry and what the device says that it is → why the two do not fit, in one sentence.

Code for instructions that a processor lacks would end the server in the middle of a study. What cannot be read on a
device speaks against nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import tvm

from dlas_ops._types import Target
from dlas_ops.processor import instruction_sets
from explorer.line.probing.answers import Description

MOST_NAMED = 6
# Architecture → processors by what they can, the most first.
LEVELS = {"x86_64": ("x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64"), "aarch64": ("generic",)}
NATIVE = "native"


def refusal(device: str, claimed: Mapping[str, Any] | str, compiled_for: Mapping[str, Any], says: Description) -> str:
    """Return why code for a target cannot run on a device; "" where nothing speaks against it.

    Parameters
    ----------
    claimed
        The target as the devices file has it, or ``"native"``.
    compiled_for
        The target itself.
    """
    target = tvm.target.Target(dict(compiled_for))
    mcpu = str(target.attrs.get("mcpu", ""))
    own = f"its target is native, which is mcpu '{mcpu}' of the machine that compiles" if claimed == NATIVE else ""
    attributes = [part for each in target.attrs.get("mattr", []) for part in str(each).split(",")]
    return (
        _misnamed(device, target, mcpu, attributes)
        or _elsewhere(device, target, own, says)
        or _lacking(device, target, own, mcpu, attributes, says)
    )


def _misnamed(device: str, target: Target, mcpu: str, attributes: list[str]) -> str:
    if wrong := instruction_sets.unknown_mcpu(target):
        return f"the target of device '{device}': mcpu '{mcpu}' {wrong}"
    for attribute in attributes:
        if instruction_sets.unknown_attribute(target, attribute):
            architecture = instruction_sets.architecture(target)
            return f"the target of device '{device}': LLVM knows no mattr '{attribute}' for {architecture}"
    return ""


def _elsewhere(device: str, target: Target, own: str, says: Description) -> str:
    """Return the refusal of a target for another architecture."""
    architecture = instruction_sets.architecture(target)
    if says.architecture in (None, architecture):
        return ""
    claim = own or f"its target is for {architecture}" + _quoted(target)
    triple = instruction_sets.TRIPLES.get(str(says.architecture))
    mend = f'; give it a target with mtriple = "{triple}"{_mcpu(says, " and mcpu = ")}' if triple else ""
    return f"device '{device}' is {says}, and {claim}{mend}"


def _lacking(device: str, target: Target, own: str, mcpu: str, attributes: list[str], says: Description) -> str:
    """Return the refusal of a target for instruction sets that the processor lacks."""
    plain = instruction_sets.without_attributes(target)
    if missing := lacked(instruction_sets.needed(plain) & instruction_sets.needed(target), says):
        claim = f"{own} and" if own else f"its target's mcpu '{mcpu}'"
        return (
            f"device '{device}' is {says}, which lacks {_listed(missing)}, and {claim} needs that"
            f"{_mcpu(says, '; give it a target with mcpu = ')}"
        )
    for attribute in attributes:
        missing = lacked(instruction_sets.needed_of(target, attribute), says) if attribute.startswith("+") else []
        if missing:
            return (
                f"device '{device}' is {says}, which lacks {_listed(missing)}, and its target's mattr '{attribute}' "
                "needs that; take it out of the target"
            )
    return ""


def lacked(needed: Collection[str], says: Description) -> list[str]:
    """Return the instruction sets that a device does not name, though its kernel would; none if it names none."""
    if says.instruction_sets is None:
        return []
    return sorted(instruction_sets.lacking(needed, says.instruction_sets, says.kernel))


def _quoted(target: Target) -> str:
    """Return what of a target says its architecture, in brackets."""
    said = [f"{name} '{target.attrs[name]}'" for name in ("mtriple", "mcpu") if name in target.attrs]
    return f" ({', '.join(said)})" if said else ""


def fitting_mcpu(says: Description) -> str:
    """Return LLVM's name of a device's processor or, where that one can more, of a lesser one; "" if there is none."""
    architecture = str(says.architecture)
    if architecture not in LEVELS:
        return says.mcpu or ""
    for mcpu in (says.mcpu, *LEVELS[architecture]) if says.mcpu else LEVELS[architecture]:
        target = tvm.target.Target({**instruction_sets.BASELINES[architecture], "mcpu": mcpu})
        if not instruction_sets.unknown_mcpu(target) and not lacked(instruction_sets.needed(target), says):
            return mcpu
    return ""


def _mcpu(says: Description, before: str) -> str:
    """Return an ``mcpu`` that fits a device, after the words `before`."""
    mcpu = fitting_mcpu(says)
    return f'{before}"{mcpu}"' if mcpu else ""


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
