"""What the benchmarks share: turns between processes, the environment, statistics, the table and the JSON file."""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from explorer.core.measurement.statistics import median_interval

Row = dict[str, Any]
PEERS = ("apache-tvm", "apache-tvm-ffi", "torch", "torchvision", "timm", "onnx", "onnxruntime", "openvino", "numpy")
# (seconds of untimed runs, timed runs) → milliseconds of each timed run
Timed = Callable[[float, int], list[float]]
# Seconds in which threads that were stopped find a core each.
SETTLE = 0.4
# Seconds for which the machine is held for timing at a time, where others wait for it.
HOLD = 45.0


def environment(packages: Sequence[str] = PEERS) -> Row:
    """Return the versions, the processor and the cores that a figure was measured with."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: _version(name) for name in packages},
    }


def summary(samples: Sequence[float]) -> Row:
    """Return `samples` (milliseconds) as median and 95 % interval."""
    middle, low, high = median_interval(samples)
    return {"median_ms": round(middle, 4), "low_ms": round(low, 4), "high_ms": round(high, 4)}


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive `values`."""
    return math.exp(sum(map(math.log, values)) / len(values))


def print_table(rows: Sequence[Row]) -> None:
    """Print flat records, a column per field."""
    cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(rows[0], *cells, strict=True)]
    for line in [list(rows[0]), *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def write_json(path: Path, facts: Row, rows: Sequence[Row]) -> None:
    """Write the environment and the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": facts, "rows": list(rows)}, indent=1) + "\n")


class Contender:
    """One engine in its own process, which stands still (SIGSTOP) except in its turn.

    Idle engines must not touch the cores: thread pools go on spinning for a while after a run, and to switch that off
    would change the engine. Threads that no engine has pinned may wake on one core, and it takes the system's scheduler
    tenths of a second to part them; hence `awake` lets them run before anything is timed.

    Parameters
    ----------
    prepare : picklable; called with `arguments` in the new process, returns a timed function per variant of the engine

    Raises
    ------
    RuntimeError
        If the process dies before it is prepared.
    """

    def __init__(self, prepare: Callable[..., dict[str, Timed]], *arguments: object) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare, arguments), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.variants: list[str] = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"its process ended with exit code {self._process.exitcode}") from None
        self._signal(signal.SIGSTOP)

    def turn(self, variant: str, warm_up: float, runs: int) -> list[float]:
        """Return the milliseconds of `runs` runs after `warm_up` seconds of untimed ones, while awake."""
        self._pipe.send((variant, warm_up, runs))
        times: list[float] = self._pipe.recv()
        return times

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let the process run, settled on its cores, and stop it at the end."""
        self._signal(signal.SIGCONT)
        if self.variants:
            self.turn(self.variants[0], SETTLE, 0)
        yield
        self._signal(signal.SIGSTOP)

    def close(self) -> None:
        """End the process."""
        self._signal(signal.SIGCONT)
        self._pipe.send(None)
        self._process.join()

    def _signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def interleave(
    contenders: Sequence[Contender], rounds: int, warm_up: float, runs: int, lock: Path | None = None
) -> dict[str, list[float]]:
    """Let every variant of every contender take its turn, `rounds` times; return the milliseconds by variant.

    The exclusive `lock` is held meanwhile, and released between rounds for those who waited for `HOLD` seconds.
    """
    times: dict[str, list[float]] = {variant: [] for contender in contenders for variant in contender.variants}
    done = 0
    while done < rounds:
        with locked(lock, exclusive=True):
            end = time.perf_counter() + HOLD
            while done < rounds and time.perf_counter() < end:
                for contender in contenders:
                    with contender.awake():
                        for variant in contender.variants:
                            times[variant] += contender.turn(variant, warm_up, runs)
                done += 1
    return times


@contextmanager
def locked(path: Path | None, exclusive: bool) -> Iterator[None]:
    """Hold the lock file `path`, if any: shared for work, exclusive for timing, so that each waits for the other."""
    if path is None:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def wall_clock(function: Callable[[], object]) -> Timed:
    """Return what times runs of `function`, after at least one untimed run."""

    def timed(warm_up: float, runs: int) -> list[float]:
        end = time.perf_counter() + warm_up
        function()
        while time.perf_counter() < end:
            function()
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            function()
            times.append((time.perf_counter() - start) * 1e3)
        return times

    return timed


def _serve(pipe: Any, prepare: Callable[..., dict[str, Timed]], arguments: Sequence[object]) -> None:
    functions = prepare(*arguments)
    for function in functions.values():
        function(0.0, 0)
    pipe.send(list(functions))
    while (request := pipe.recv()) is not None:
        variant, warm_up, runs = request
        pipe.send(functions[variant](warm_up, runs))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
