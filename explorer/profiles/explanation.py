"""A network held against its base → why it is not faster, in one sentence, and what else to try, as a command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from explorer.core.configuration import dtype_of
from explorer.profiles import causes
from explorer.profiles.causes import Finding, break_even, findings
from explorer.profiles.neighbours import neighbour, stack_of
from explorer.profiles.profile import Profile
from explorer.profiles.versus import Pair, Versus, versus

if TYPE_CHECKING:
    import pandas as pd


class Share(NamedTuple):
    """A cause's part of the time in excess of what was expected: microseconds, and in how many layers."""

    cause: str
    us: float
    layers: int


class Advice(NamedTuple):
    """A change to make, in one sentence, and the command that tells more of it."""

    text: str
    command: str


@dataclass(frozen=True)
class Explanation:
    """Why a trial's network takes as long as it does, held against that of another trial.

    Parameters
    ----------
    trial, base
        Their numbers.
    findings
        Causes layer by layer, see `explorer.profiles.causes.findings`.
    advice
        None where there is nothing to change.
    """

    trial: int
    base: int
    versus: Versus
    findings: tuple[Finding, ...]
    advice: Advice | None = None

    @property
    def shares(self) -> list[Share]:
        """The parts of the causes, the largest first."""
        found: dict[str, Share] = {}
        for each in self.findings:
            known = found.get(each.cause, Share(each.cause, 0.0, 0))
            found[each.cause] = Share(each.cause, known.us + each.us, known.layers + bool(each.layer))
        return sorted(found.values(), key=lambda share: -share.us)

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        held, own = self.versus, self.versus.achieved
        share = f"{own.value:.2f} ({own.low:.2f} to {own.high:.2f})"
        times = f"trial {self.trial} takes {share} of the time of trial {self.base}"
        if held.own.disturbed or held.base.disturbed:
            return f"{times}, but no session was quiet: {held.own.disturbed or held.base.disturbed}"
        if not held.is_slower_than_expected or not self.shares:
            return f"{times}; expected from its work: {held.expected:.2f}"
        first = self.shares[0]
        where = f" in {first.layers} layer{'s' * (first.layers > 1)}" if first.layers else ""
        part = f"which explains {first.us / 1e3:.3f} of the {held.gap_us / 1e3:.3f} ms in excess"
        return f"{times}, not the {held.expected:.2f} expected from its work: {first.cause}{where}, {part}"

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain values for JSON."""
        held = self.versus
        return {
            "trial": self.trial,
            "base": self.base,
            "device": held.own.device,
            "sentence": self.sentence,
            "achieved": held.achieved.value,
            "achieved_low": held.achieved.low,
            "achieved_high": held.achieved.high,
            "expected": held.expected,
            "bytes": held.bytes_ratio,
            "gap_us": held.gap_us,
            "causes": [share._asdict() for share in self.shares],
            "layers": [_layer(pair, self.findings) for pair in held.pairs],
            "advice": self.advice._asdict() if self.advice else None,
        }


def explanation(own: Profile, base: Profile, trial: int, base_trial: int) -> Explanation:
    """Return why the network of `trial` takes as long as it does; see `Explanation`."""
    held = versus(own, base)
    return Explanation(trial, base_trial, held, tuple(findings(held)))


def advised(found: Explanation, frame: pd.DataFrame, space: str) -> Advice | None:
    """Return what to change of a stack so that its largest cause goes away; None where no cause has a remedy.

    Parameters
    ----------
    frame
        One row per finished trial of the study.
    space
        The study's search-space file.
    """
    if not found.shares or not found.versus.is_slower_than_expected:
        return None
    stack = stack_of(frame, found.trial)
    cause = found.shares[0].cause
    changes = _remedy(cause, stack)
    if changes is None:
        return _csr_advice(found, frame, stack) if cause == causes.CSR else None
    told = " and ".join(f"{axis} {choice}" for axis, choice in changes.items())
    if (known := neighbour(frame, found.trial, changes)) is not None:
        latency = float(frame[frame["number"] == known]["latency_ms"].iloc[0])
        command = f"dlas profile {known} --vs {found.trial}"
        return Advice(f"trial {known}, the same with {told}, takes {latency:.3f} ms", command)
    asked = ", ".join(f"{axis} = {json.dumps(choice)}" for axis, choice in changes.items())
    text = f"the same with {told} is not on record; add {asked} to the axes of the space"
    return Advice(text, f"dlas run {shlex.quote(space)}")


def _remedy(cause: str, stack: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the axes to change, and their choices, so that a cause goes away; None where no single choice does."""
    compression = str(stack["compression"])
    match cause:
        case causes.ZEROS:
            return {"format": "csr"}
        case causes.NO_HALF:
            return {"compression": compression.replace("bfloat16", "int8").replace("float16", "int8")}
        case causes.LANES:
            return {"channel_multiple": "vector"}
        case causes.MEMORY if dtype_of(compression) == "float32":
            return {"compression": f"{compression}+int8".removeprefix("none+")}
        case causes.FIXED if stack["threads"] != 1:
            return {"threads": 1}
        case causes.FELL_BACK | causes.KERNEL if stack["algorithm"] != "auto":
            return {"algorithm": "auto"}
    return None


def _csr_advice(found: Explanation, frame: pd.DataFrame, stack: Mapping[str, object]) -> Advice:
    """Return the ratio from which csr pays, and the trial on record that has one such."""
    pays_below = _typical_break_even(found.versus.pairs)
    ratios = frame[(frame["state"] == "complete") & (frame["ratio"] >= 1 - pays_below)]["ratio"].unique()
    for ratio in sorted(ratios):
        if (known := neighbour(frame, found.trial, {"ratio": float(ratio)})) is not None:
            latency = float(frame[frame["number"] == known]["latency_ms"].iloc[0])
            taken = f"trial {known}, with {ratio:g}, takes {latency:.3f} ms"
            text = f"csr pays from a ratio of about {1 - pays_below:.2f}; {taken}"
            return Advice(text, f"dlas profile {known} --vs {found.trial}")
    text = f"csr pays from a ratio of about {1 - pays_below:.2f}, and dense is faster at {stack['ratio']:g}"
    return Advice(text, f"dlas profile {found.trial} --vs {found.base}")


def _typical_break_even(pairs: Sequence[Pair]) -> float:
    """Return the share of weights left at which all csr layers together take the dense layers' time."""
    sparse = [pair for pair in pairs if pair.own.ran.endswith("/csr") and pair.own.weights]
    before = sum(pair.base.us.value for pair in sparse)
    return sum(break_even(pair) * pair.base.us.value for pair in sparse) / before


def _layer(pair: Pair, found: Sequence[Finding]) -> dict[str, object]:
    own = next((each for each in found if each.layer == pair.own.name), None)
    return {
        "layer": pair.own.name,
        "base_us": pair.base.us.value,
        "us": pair.own.us.value,
        "expected": pair.expected,
        "bytes": pair.bytes_ratio,
        "achieved": pair.achieved.value,
        "achieved_low": pair.achieved.low,
        "achieved_high": pair.achieved.high,
        "excess_us": pair.excess_us,
        "cause": own.cause if own else None,
        "evidence": own.evidence if own else None,
    }
