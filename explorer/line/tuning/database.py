"""Tensor program → the measurements of its candidates: one file of JSON lines, to which lines are only added.

A line says one of four things; every one is written at once, so that a process that is killed loses at most the line
that it was writing, which is dropped when the file is read::

    {"decision": D, "samples_ms": [...], "seconds": s}            a candidate, None as decision being the rule-based one
    {"decision": D, "failure": {"kind": ..., "message": ...}, "seconds": s}
    {"lost": [D, ...]}                                            the device went away while these were measured
    {"final": [[D, samples_ms, ...], ...], "seconds": s}          the best ones, measured in turns, session by session

``seconds`` is the wall-clock time that the line cost, its share of the batch's building included.
"""

from __future__ import annotations

import json
import os
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Decision = Any
Samples = list[list[float]]  # of a decision: for each session the milliseconds of each run


@dataclass(frozen=True)
class Trial:
    """One measured candidate.

    Attributes
    ----------
    samples_ms : of single runs; empty if the candidate failed
    failure : kind and message of why it failed
    seconds : that it took to propose, build and measure it
    """

    decision: Decision
    samples_ms: tuple[float, ...] = ()
    failure: tuple[str, str] | None = None
    seconds: float = 0.0

    @property
    def ms(self) -> float | None:
        """The median, None if the candidate failed."""
        return statistics.median(self.samples_ms) if self.samples_ms else None


class Log:
    """The measurements on record of one program under one tuner.

    Parameters
    ----------
    path
        Of the file, which may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trials: list[Trial] = []
        self.rule: Trial | None = None
        self._finals: dict[str, tuple[dict[str, Samples], float]] = {}
        self._lost: Counter[str] = Counter()
        for line in self._lines():
            self._take(line)

    def _lines(self) -> list[dict[str, Any]]:
        """Return the lines, a last one without an end cut off from the file."""
        if not self._path.exists():
            return []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(self._path, len(whole))
        return [json.loads(line) for line in whole.splitlines()]

    def _take(self, line: Mapping[str, Any]) -> None:
        if "final" in line:
            found = {_key(decision): sessions for decision, *sessions in line["final"]}
            self._finals["".join(sorted(found))] = found, line["seconds"]
        elif "lost" in line:
            self._lost.update(map(_key, line["lost"]))
        else:
            failure = line.get("failure")
            reason = (failure["kind"], failure["message"]) if failure else None
            trial = Trial(line["decision"], tuple(line.get("samples_ms", ())), reason, line["seconds"])
            if trial.decision is None:
                self.rule = trial
            else:
                self.trials.append(trial)

    def _add(self, *lines: Mapping[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        with self._path.open("ab", buffering=0) as file:
            file.write(text.encode())
        for line in lines:
            self._take(line)

    def add(self, trials: Sequence[Trial]) -> None:
        """Put measured candidates on record."""
        lines: list[dict[str, Any]] = []
        for trial in trials:
            line: dict[str, Any] = {"decision": trial.decision}
            if trial.failure:
                line["failure"] = {"kind": trial.failure[0], "message": trial.failure[1]}
            else:
                line["samples_ms"] = list(trial.samples_ms)
            lines.append({**line, "seconds": round(trial.seconds, 4)})
        self._add(*lines)

    def lose(self, decisions: Sequence[Decision]) -> None:
        """Put on record that the device went away while `decisions` were measured."""
        self._add({"lost": list(decisions)})

    def losses(self, decision: Decision) -> int:
        """Return how often the device went away while `decision` was measured."""
        return self._lost[_key(decision)]

    def unfinished(self) -> list[Decision]:
        """Return what was lost and has not been measured since."""
        known = {_key(trial.decision) for trial in self.trials}
        if self.rule:
            known.add(_key(None))
        return [json.loads(key) for key in self._lost if key not in known]

    def finals(self, decisions: Sequence[Decision]) -> tuple[list[Samples], float] | None:
        """Return for exactly these decisions the milliseconds they took in turns, and what that cost, if on record."""
        keys = [_key(decision) for decision in decisions]
        found = self._finals.get("".join(sorted(keys)))
        return ([found[0][key] for key in keys], found[1]) if found else None

    def add_finals(self, decisions: Sequence[Decision], samples: Sequence[Samples], seconds: float) -> None:
        """Put on record what each of `decisions` took in turns, session by session."""
        rows = [[decision, *sessions] for decision, sessions in zip(decisions, samples, strict=True)]
        self._add({"final": rows, "seconds": round(seconds, 4)})


class Database:
    """The logs of all programs for one device, target and number of threads.

    Beside every log lies the program's description, by which similar ones are found.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def log(self, tuner: str, program: str, description: Mapping[str, Any]) -> Log:
        """Return the log of `program`, the name of its file, and remember what it is."""
        folder = self._root / tuner
        folder.mkdir(parents=True, exist_ok=True)
        described = folder / f"{program}.json"
        if not described.exists():
            draft = folder / f"{program}.json.{os.getpid()}"
            draft.write_text(json.dumps(dict(description)))
            draft.rename(described)
        return Log(folder / f"{program}.jsonl")

    def others(self, tuner: str, program: str) -> list[tuple[dict[str, Any], Path]]:
        """Return description and log of every other program that candidates were measured of, by name."""
        folder = self._root / tuner
        logs = sorted(path for path in folder.glob("*.jsonl") if path.stem != program)
        return [(json.loads(path.with_suffix(".json").read_text()), path) for path in logs]


def _key(decision: Decision) -> str:
    return json.dumps(decision, sort_keys=True, separators=(",", ":"))
