"""Small real studies on the digits, and an observer that remembers, for the tests of whole runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.core.measurement.quantities import MEASURED, Quantity
from explorer.core.measurement.sessions import DISTURBED, SERVER_PEAK, SESSIONS
from explorer.search import search
from explorer.search.grids import grid
from explorer.space import space
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests import forks
from tests.explorer import spaces

# 2 models x (none, channel_pruning at one ratio) x 2 algorithms x 2 thread counts = 16 configurations.
AXES: Mapping[str, Any] = {
    "dataset": "digits",
    "width": 0.25,
    "compression": ["none", "channel_pruning"],
    "ratio": 0.5,
    "threads": [1, 2],
}
OBJECTIVES = {"accuracy": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"}
SMALL = "tests.custom_plugins:small"  # a model for studies in which it does not matter
QUICK = {"samples": 10, "sample_ms": 0.5, "warmup_ms": 0.5, "most_sessions": 2, "extra_time": 0.0}  # measurements
# Columns that no two runs of a study have in common.
VARYING = (*(column for name in MEASURED for column in Quantity(name).columns), SESSIONS, DISTURBED, SERVER_PEAK)

# Settings under which another space of the grid's data set and models finds its networks trained.
SHORT_MEASURING = """
[measure]
samples = 10
sample_ms = 0.5
warmup_ms = 0.5
most_sessions = 2
extra_time = 0.0
"""
SHORT = f"""
[train]
epochs = 1
[compress]
epochs = 1
{SHORT_MEASURING}"""


@dataclass
class Span:
    """A stage in a worker, and when it began and ended, counted in the events of a study."""

    worker: str
    stage: str
    start: int
    end: int = sys.maxsize

    def is_beside(self, other: Span) -> bool:
        """Tell whether the two overlap in time."""
        return self.start < other.end and other.start < self.end


class Events:
    """Remembers what it is told; `kill_in` ends the process by SIGKILL a moment after that stage has begun."""

    def __init__(self, kill_in: str | None = None) -> None:
        self.stages: list[str] = []
        self.spans: list[Span] = []
        self.notes: list[str] = []
        self.outcomes: dict[int, Record | Failure] = {}
        self.configurations: dict[int, Configuration] = {}
        self._kill_in = kill_in
        self._ticks = 0

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks

    def begin(self, done: int, wanted: int) -> None:
        self.done, self.wanted = done, wanted

    def started(self, worker: str, stage: str) -> None:
        self.stages.append(stage)
        self.spans.append(Span(worker, stage, self._tick()))
        if stage == self._kill_in:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def finished(self, worker: str) -> None:
        next(span for span in reversed(self.spans) if span.worker == worker).end = self._tick()

    def advanced(self, worker: str, done: int, total: int, text: str) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        self.outcomes[number] = outcome
        self.configurations[number] = configuration


class Printed(Events):
    """Prints the number of every trial that ends, too, and notes on standard error."""

    def note(self, message: str) -> None:
        super().note(message)
        print(message, file=sys.stderr, flush=True)

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        super().ended(number, configuration, outcome)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def write_space(
    folder: Path,
    name: str = "grid",
    models: Sequence[str] = ("mobilenetv2", "resnet18"),
    algorithms: Sequence[str] = ("direct", "gemm"),
    epochs: int = 1,
    axes: Mapping[str, Any] | None = None,
    constraints: Sequence[Mapping[str, Any]] = (),
    **tables: Mapping[str, Any],
) -> Path:
    """Write the grid's search-space file into `folder` and return its path.

    Parameters
    ----------
    axes
        In place of the grid's, None for one that is to be left out.
    tables
        Options of other tables, such as ``search={"sampler": "tpe"}``.
    """
    own: dict[str, Mapping[str, Any]] = {
        "objectives": OBJECTIVES,
        "search": {"sampler": "grid"},
        "train": {"epochs": epochs},
        "compress": {"epochs": 1},
        "measure": QUICK,
    }
    merged = {table: {**own.get(table, {}), **tables.get(table, {})} for table in {**own, **tables}}
    path = folder / f"{name}.toml"
    chosen = {**AXES, "model": models, "algorithm": algorithms, **(axes or {})}
    path.write_text(spaces.render(chosen, constraints, name, **merged))
    return path


def write_small(folder: Path) -> Path:
    """Write the space `small.toml`, of 4 configurations on which little time is spent, and return its path."""
    return write_space(folder, "small", (SMALL,), ("gemm",))


def trained(workspace: Path, into: Path) -> Path:
    """Return a workspace `into` with the networks of another one, trained and compressed, and nothing on record."""
    for stage in ("data", "train", "compress"):
        shutil.copytree(workspace / "artifacts" / stage, into / "artifacts" / stage)
    return into


def run(path: Path, workspace: Path, events: Events, trials: int | None = None) -> search.Summary:
    """Run the study of the space at `path` in this process."""
    return search.run(space.load(path).searched(trials=trials), Workspace(workspace), events)


def run_grid(path: Path, workspace: Path, events: Events, shard: str = "1/1") -> search.Summary:
    """Bring a shard of the grid over the space at `path` on record in this process."""
    return grid.run(space.load(path).whole, Workspace(workspace), events, grid.Shard.parse(shard))


def await_training(process: subprocess.Popen[str], workspace: Path) -> None:
    """Return once the study that `process` runs in `workspace` has its data set, from when on it trains."""
    while not (workspace / "artifacts" / "data").exists():
        assert process.poll() is None, "it ended before it trained"
        time.sleep(0.05)


def executions(workspace: Path) -> dict[str, int]:
    """Return how often each stage was executed in a workspace."""
    return dict(Counter(Records(Workspace(workspace).url).executions.frame()["stage"]))


if __name__ == "__main__":  # space, workspace, stage to be killed in, name of one of the functions above
    with forks.used() if forks.PLACE in os.environ else contextlib.nullcontext():
        globals()[sys.argv[4]](Path(sys.argv[1]), Path(sys.argv[2]), Printed(sys.argv[3]))
