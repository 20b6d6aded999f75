"""Stage and an empty folder → the stage's files in it and its values, by a worker, now, or after another attempt."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from explorer.core import surroundings
from explorer.core.errors import DeviceError, Failure, StageFailed
from explorer.engines.context import EngineContext
from explorer.engines.workers import ALONE, WorkerHandle, Workers
from explorer.line.stage import Stage
from explorer.processes.pool import Request, Word
from explorer.space.devices import Device

LONG_TRAINING = 1 << 26  # pixels of all epochs: from about a minute of the fastest networks on two cores
PASSES = 3  # training on an image takes as long as so many answers: it computes gradients of inputs and of weights, too
CUT_OFF = ("crash", "timeout")  # kinds of failures after which an execution may go on where it was
STOPPED = "stopped"  # the kind where the explorer itself has ended the worker, which is no failure of the stage
# Seconds before each attempt but the first at what failed by its surroundings: some causes are gone in a moment.
PAUSES = (0.2, 3.0)

T = TypeVar("T")


class Executed(NamedTuple):
    """The values that a stage returned, and the seconds that it took."""

    values: dict[str, Any]
    seconds: float


class Executor:
    """Executes stages in workers; remembers and records those that fail.

    Parameters
    ----------
    stopping
        Set when the engine stops, so that nothing is attempted any more.
    """

    def __init__(self, context: EngineContext, workers: Workers, stopping: threading.Event) -> None:
        self._context, self._workers, self._stopping = context, workers, stopping
        self._failures: dict[str, StageFailed] = {}

    def kind(self, stage: Stage) -> str:
        """Return the kind of worker that the stage runs in."""
        return ALONE if self._workers.trains_alone and trains_long(stage) else stage.worker

    def refuse_what_failed(self, key: str) -> None:
        """Raise the failure of an earlier execution with this key, if one failed."""
        if key in self._failures:
            raise self._failures[key]

    def attempted(
        self,
        stage: str,
        key: str,
        attempt: Callable[[], T],
        recover: Callable[[Failure], None] = lambda failure: None,
        progress: Callable[[], int] = lambda: 0,
        once: bool = False,
    ) -> T:
        """Return what `attempt` returns; call it again, a bounded number of times, while only its surroundings fail.

        Parameters
        ----------
        stage, key
            What is attempted. The failure of the last attempt is remembered under the key.
        recover
            Mends, before another attempt, what made the last one fail.
        progress
            How much is on record. Attempts are counted from where it was larger than before.
        once
            Whether there is one attempt only.

        Raises
        ------
        StageFailed
            If the stack fails or, in each attempt, its surroundings.
        """
        attempts, reached = 0, progress()
        failed: StageFailed | None = None
        while True:
            try:
                if failed:
                    recover(failed.failure)
                return attempt()
            except StageFailed as error:
                failed = error
            except (DeviceError, OSError) as error:  # such as a full disk, where the explorer itself writes
                failed = _failed(stage, error)
            if (now := progress()) > reached:
                attempts, reached = 0, now
            is_last = once or attempts == len(PAUSES)
            if not failed.failure.transient or is_last or self._stopping.wait(PAUSES[attempts]):
                if failed.failure.kind != STOPPED:
                    self._failures[key] = failed
                raise failed
            attempts += 1
            self._context.observer.note(f"{stage} is tried again, since it failed: {failed.failure.message}")

    def execute(
        self, stage: Stage, key: str, draft: Path, timeout: float | None = None, device: Device | None = None
    ) -> Executed:
        """Execute the stage once in a worker, which writes its files into `draft`; return its values.

        Parameters
        ----------
        key
            The key of the artifact to be, under which the state of a cut-off execution is kept.
        timeout
            Seconds of silence after which the worker is ended; None waits for ever.
        device
            The device that the stage occupies.

        Raises
        ------
        StageFailed
            If the execution fails; the failure is on record then, unless the explorer was stopped.
        """
        request = {**stage.as_json(), "out": str(draft), "scratch": str(self._context.store.scratch(key))}
        start = time.perf_counter()
        with self.worker(self.kind(stage), stage.name, device) as worker:
            try:
                values = self._answer(worker, request, timeout)
            except StageFailed as failed:
                if failed.failure.kind == STOPPED:
                    raise
                if failed.failure.kind not in CUT_OFF:
                    self._context.store.forget(key)
                if failed.failure.transient:
                    worker.renew()
                self._context.records.executions.add(stage.name, key, time.perf_counter() - start, failed.failure)
                raise
        return Executed(values, time.perf_counter() - start)

    @contextlib.contextmanager
    def worker(self, kind: str, work: str, device: Device | None = None) -> Iterator[WorkerHandle]:
        """Give a worker, and tell the observer that it does `work` meanwhile."""
        with self._workers.worker(kind, device) as worker:
            self._context.observer.started(worker.name, work)
            try:
                yield worker
            finally:
                self._context.observer.finished(worker.name)

    def _answer(self, worker: WorkerHandle, request: Request, timeout: float | None) -> dict[str, Any]:
        values: dict[str, Any] = worker.request(request, timeout, partial(self._hear, worker.name))
        return values

    def _hear(self, worker: str, word: Word) -> None:
        if "progress" in word:
            self._context.observer.advanced(worker, **word["progress"])
        else:
            self._context.observer.note(word["note"])


def _failed(stage: str, error: DeviceError | OSError) -> StageFailed:
    """Return an error of this process as the failure that it is; raise it if that is not known."""
    if kind := "device" if isinstance(error, DeviceError) else surroundings.kind_of(error):
        return StageFailed(Failure(stage, kind, str(error)))
    raise error


def trains_long(stage: Stage) -> bool:
    """Tell whether a stage trains, or answers in torch, for so long that nothing else should compute meanwhile.

    Only parts of its key decide that: sums, and so weights, depend on the number of threads.
    """
    return stage.trained_pixels + stage.answered_pixels / PASSES >= LONG_TRAINING
