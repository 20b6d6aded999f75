"""Tensor program → the measurements of its candidates: one file of JSON lines, to which lines are only added.

A line says one of four things; every one is written at once, so that a process that is killed loses at most the line
that it was writing, which is dropped when the file is read. A line that was damaged otherwise moves to a file beside
this one, ``.damaged`` in place of its ending, and the tuning goes on without it::

    {"decision": D, "samples_ms": [...], "seconds": s}            a candidate, None as decision being the rule-based one
    {"decision": D, "failure": {"kind": ..., "message": ...}, "seconds": s}
    {"lost": [D, ...]}                                            the device went away while these were measured
    {"final": [[D, samples_ms, ...], ...], "seconds": s}          the best ones, measured in turns, session by session

``seconds`` is the wall-clock time that the line cost, its share of the batch's building included. Every line ends with
``"crc"``, the CRC-32 of all else in it; lines of before have none.
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

from explorer.core.files import regular
from explorer.line import execution
from explorer.line.tuning import lines_of_logs

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
        """Return the lines, a last one without an end cut off from the file, and damaged ones moved out of it."""
        try:
            content = regular.read(self._path)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            execution.current().note(f"{self._path} is left out of the tuning: {error}")
            regular.clear(self._path)
            return []
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(self._path, len(whole))
        lines = [(text, lines_of_logs.parsed(text)) for text in whole.split(b"\n")[:-1]]
        if damaged := [text for text, line in lines if line is None]:
            self._move_out(damaged, [text for text, line in lines if line is not None])
        return [line for _, line in lines if line is not None]

    def _move_out(self, damaged: Sequence[bytes], sound: Sequence[bytes]) -> None:
        """Leave only `sound` lines in the file, and keep the damaged ones beside it."""
        aside = self._path.with_suffix(".damaged")
        count = "a damaged line" if len(damaged) == 1 else f"{len(damaged)} damaged lines"
        execution.current().note(f"{count} of {self._path} left out of the tuning, kept in {aside.name}")
        with regular.appended(aside) as file:
            file.writelines(line + b"\n" for line in damaged)
        _write(self._path, b"".join(line + b"\n" for line in sound))

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
        with regular.appended(self._path) as file:
            file.write(b"".join(map(lines_of_logs.written, lines)))
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
        regular.make_folder(folder)
        described = folder / f"{program}.json"
        text = json.dumps(dict(description))
        if _description(described) != json.loads(text):
            _write(described, text.encode())
        return Log(folder / f"{program}.jsonl")

    def others(self, tuner: str, program: str) -> list[tuple[dict[str, Any], Path]]:
        """Return description and log of every other program that candidates were measured of, by name."""
        folder = self._root / tuner
        logs = sorted(path for path in folder.glob("*.jsonl") if path.stem != program)
        described = ((_description(path.with_suffix(".json")), path) for path in logs)
        return [(own, path) for own, path in described if own is not None]


def _description(path: Path) -> dict[str, Any] | None:
    """Return the description of a program that the file at `path` has; None if it is damaged, or not there."""
    try:
        found = json.loads(regular.read(path))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, content: bytes) -> None:
    """Put a file of this content in place of what is at `path`; at any time one of the two is there."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    regular.make_way(draft)
    draft.write_bytes(content)
    regular.make_way(path)
    draft.rename(path)


def _key(decision: Decision) -> str:
    return json.dumps(decision, sort_keys=True, separators=(",", ":"))
