"""Libraries of candidates → what each takes on the device over RPC, provided that it computes the right numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray

from dlas_ops.passes.eviction import Eviction
from dlas_ops.selection.candidates import FILL
from dlas_ops.tuning import task_extraction
from dlas_ops.tuning.task_extraction import Task
from explorer.core.errors import DeviceError
from explorer.core.measurement.standstills import Unbroken
from explorer.line.device import rpc, silence
from explorer.line.tuning.builders import Library

# Candidates have so many turns of so many runs. Before each run the caches are evicted as a network would.
ROUNDS = 2
RUNS = 5
# Finalists have so many turns in each of so many sessions, which load them anew.
FINAL_ROUNDS = 2
FINAL_SESSIONS = 3

# A candidate that takes so many times as long as the rule-based schedule, and so many ms, is not run more than twice.
HOPELESS = 4.0
LONG_MS = 2.0

SESSION_SECONDS = 60
POLL_SECONDS = 1.0

Array = NDArray[Any]
Timer = Callable[[Sequence[Any]], list[float]]  # a program's arguments → seconds of each run


class LostError(Exception):
    """The session ended before all candidates were measured; `results` has those that were."""

    def __init__(self, results: Mapping[int, Any], cause: Exception) -> None:
        super().__init__(f"the session ended: {type(cause).__name__}: {cause}")
        self.results = dict(results)


@dataclass(frozen=True)
class Program:
    """A task with numbers to run it on, and what the rule-based schedule makes of them."""

    task: Task
    inputs: list[Array]
    outputs: list[Array]
    rule_ms: float


class Runner:
    """Measures on one device.

    Parameters
    ----------
    tracker, key, target
        Of the device.
    evicted
        Bytes that are read before each run; see `dlas_ops.passes.eviction`.
    reconnect
        Seconds that a device which is gone is waited for.
    """

    def __init__(
        self, tracker: str, key: str, target: Mapping[str, Any], threads: int, evicted: int, reconnect: float
    ) -> None:
        self._tracker, self._key, self._threads, self._reconnect = tracker, key, threads, reconnect
        self._target, self.evicted = target, evicted

    def prepare(self, task: Task, rule: Library) -> Program:
        """Return `task` with what `rule`, a library of its rule-based schedule alone, computes and takes.

        Raises
        ------
        LostError
            If the session ends meanwhile.
        DeviceError
            If the device cannot be reached.
        """
        inputs = numbers(task)
        session = self._connect(SESSION_SECONDS)
        try:
            with silence.at_most(SESSION_SECONDS + silence.LEAST):
                on_device = self._on_device(session, inputs, task)
                [(_, function)] = on_device.load([rule])
                outputs, milliseconds = on_device.run(function)
        except Exception as error:  # TVM raises what the server raised, under many names
            raise LostError({}, error) from error
        return Program(task, inputs, outputs, milliseconds)

    def measure(self, program: Program, libraries: Sequence[Library], rounds: int = ROUNDS) -> dict[int, Any]:
        """Return for the index of every candidate milliseconds of each run, or kind and message of its failure.

        Kinds are ``run``, what the device raised, and ``wrong output``. See `prepare` for errors.
        """
        seconds = SESSION_SECONDS + 2 * sum(len(library.functions) for library in libraries)
        session = self._connect(seconds)
        results: dict[int, Any] = {}
        try:
            # A candidate that does not end is the server's to end, and is lost then.
            with silence.at_most(seconds + silence.LEAST):
                on_device = self._on_device(session, program.inputs, program.task)
                timers = self._tried(on_device, program, libraries, results)
                return results | _sampled(on_device, timers, rounds)
        except Exception as error:
            raise LostError(results, error) from error

    def _tried(
        self, on_device: _OnDevice, program: Program, libraries: Sequence[Library], results: dict[int, Any]
    ) -> dict[int, Timer]:
        """Run each candidate; return the timers of those that are right and fast, and put the others into `results`."""
        timers: dict[int, Timer] = {}
        limit = max(LONG_MS, HOPELESS * program.rule_ms)
        for index, function in on_device.load(libraries):
            error, milliseconds = self._checked(on_device, function, program)
            if not error and milliseconds > limit:  # a first run may wait for pages and threads
                _, milliseconds = on_device.run(function)
            if error:
                results[index] = error
            elif milliseconds > limit:
                results[index] = [milliseconds]
            else:
                timers[index] = on_device.timer(function, RUNS)
        return timers

    def _checked(self, on_device: _OnDevice, function: Any, program: Program) -> tuple[tuple[str, str] | None, float]:
        """Return why a candidate is no good, if it is not, and the milliseconds of one run."""
        try:
            outputs, milliseconds = on_device.run(function)
        except Exception as error:
            if not on_device.alive():
                raise
            return ("run", f"{type(error).__name__}: {error}"[:300]), 0.0
        if not task_extraction.close(outputs, program.outputs):
            return ("wrong output", "its results are not those of the rule-based schedule"), 0.0
        return None, milliseconds

    def _on_device(self, session: Any, inputs: Sequence[Array], task: Task) -> _OnDevice:
        device = rpc.device(session, self._target)
        eviction = Eviction(self.evicted, self._threads, device, session.get_function(FILL))
        return _OnDevice(session, device, inputs, task.arguments[task.inputs :], eviction)

    def _connect(self, seconds: int) -> Any:
        """Return a session on the device, waiting for one that is gone."""
        end = time.monotonic() + self._reconnect
        while True:
            try:
                session = rpc.connect(self._tracker, self._key, seconds)
                rpc.set_threads(session, self._threads, "tune", self._key)
                return session
            except DeviceError as error:
                if time.monotonic() >= end:
                    waited = f" (waited for {self._reconnect:g} s)" if self._reconnect else ""
                    raise DeviceError(f"{error}{waited}") from error
                time.sleep(POLL_SECONDS)


class _OnDevice:
    """A program's arguments on the device, and functions that take them."""

    def __init__(
        self,
        session: Any,
        device: Any,
        inputs: Sequence[Array],
        results: Sequence[tuple[tuple[int, ...], str]],
        eviction: Eviction,
    ) -> None:
        self._session, self._eviction = session, eviction
        self._fill = session.get_function(FILL)
        self._results = [tvm.runtime.empty(shape, dtype, device) for shape, dtype in results]
        self._inputs = [tvm.runtime.tensor(values, device) for values in inputs]
        self._modules: list[tuple[Any, str]] = []

    @property
    def arrays(self) -> list[Any]:
        """All arguments of the program."""
        return [*self._inputs, *self._results]

    def load(self, libraries: Sequence[Library]) -> list[tuple[int, Any]]:
        """Upload libraries; return index and function of each candidate."""
        functions = []
        for library in libraries:
            self._session.upload(str(library.path))
            loaded = self._session.load_module(Path(library.path).name)
            functions += [(index, (loaded, symbol)) for index, symbol in library.functions]
        return functions

    def run(self, function: tuple[Any, str]) -> tuple[list[Array], float]:
        """Run once; return the results and milliseconds, a call over RPC included."""
        for result in self._results:
            self._fill(result)  # what the last candidate left there must not pass for this one's
        loaded, symbol = function
        own = loaded[symbol]
        start = time.perf_counter()
        self._eviction.run(own, self.arrays)
        milliseconds = 1e3 * (time.perf_counter() - start)
        return [result.numpy() for result in self._results], milliseconds

    def timer(self, function: tuple[Any, str], runs: int) -> Timer:
        """Return what takes the program's arguments and returns the seconds of `runs` runs."""
        return self._eviction.timer(*function, runs)

    def alive(self) -> bool:
        """Tell whether the session still answers."""
        return rpc.answers(self._session)


def _sampled(on_device: _OnDevice, timers: Mapping[int, Timer], rounds: int) -> dict[int, list[float]]:
    """Return for the index of every timer the ms of its runs, in so many turns with the others."""
    samples: dict[int, list[float]] = {index: [] for index in timers}
    unbroken = {index: Unbroken() for index in timers}

    def timed(timer: Timer) -> list[float]:
        return [1e3 * taken for taken in timer(on_device.arrays)]

    for _ in range(rounds):
        for index, timer in timers.items():
            samples[index] += unbroken[index].take(partial(timed, timer))
    return samples


def numbers(task: Task) -> list[Array]:
    """Return inputs for a task: the network's own weights, and random activations, always the same."""
    generator = np.random.default_rng(0)
    drawn = []
    for index, (shape, dtype) in enumerate(task.arguments[: task.inputs]):
        if index in task.constants:
            drawn.append(task.constants[index])
        elif np.issubdtype(np.dtype(dtype), np.integer):
            limits = np.iinfo(dtype)
            low, high = max(limits.min, -128), min(limits.max, 255)
            drawn.append(generator.integers(low, high, shape, dtype=dtype, endpoint=True))
        else:
            drawn.append(generator.random(shape, np.float32).astype(dtype))
    return drawn
