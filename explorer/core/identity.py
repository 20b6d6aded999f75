"""Facts that a device is told by → the identity that its latencies are on record under, and how two of them differ.

An identity is that of a model of device and of what is measured on it, not of a single board: boards of one model, on
one tracker or on several, share their latencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from explorer.core.configuration import digest

TARGET, CORES, PROCESSOR = "target", "cores", "processor"
MOST_NAMED = 4  # of the instruction sets that one of two devices lacks


@dataclass(frozen=True)
class Identity:
    """All that decides a latency on a device and lies outside of the stack.

    Parameters
    ----------
    facts
        ``target``, that it compiles for; ``cores``, those that its entry names; and what it says of itself, as
        `explorer.line.probing.identity.facts` has it. What cannot be read there is left out.
    """

    facts: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        """The digest that stands for it in the keys of measurements."""
        return digest(dict(self.facts))

    def __str__(self) -> str:
        """Return in a few words which device it is."""
        name = self.facts.get("gpu", {}).get("name") or self.facts.get(PROCESSOR) or self.facts.get("architecture")
        target = self.facts.get(TARGET, {})
        built_for = target.get("mcpu") or target.get("kind") or ""
        cores = f", cores {', '.join(map(str, self.facts[CORES]))}" if self.facts.get(CORES) else ""
        return f"{name or 'a device that does not say what it is'}, code for {built_for}{cores}"

    def differences(self, before: Identity) -> str:
        """Return what is another than in `before`: ``"cores are [1], not [0]; processor is …"``."""
        own, other = _flat(self.facts), _flat(before.facts)
        changed = sorted(name for name in {*own, *other} if own.get(name) != other.get(name))
        return "; ".join(_difference(name, own.get(name), other.get(name)) for name in changed)


def _flat(facts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the facts with the name of each table before those in it."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return flat


def _difference(name: str, own: Any, other: Any) -> str:
    if name == "instruction_sets" and own and other:
        parts = [("has", set(own) - set(other)), ("lacks", set(other) - set(own))]
        return ", ".join(f"it {word} {_some(sets)}" for word, sets in parts if sets)
    return f"{name} is {_shown(own)}, not {_shown(other)}"


def _some(sets: set[str]) -> str:
    more = len(sets) - MOST_NAMED
    return ", ".join([*sorted(sets)[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
