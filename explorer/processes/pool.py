"""Kind of worker → a pool of processes, started on first use, replaced when they die."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

from explorer.core.errors import Failure, StageFailed
from explorer.core.files import regular
from explorer.core.measurement import clocks
from explorer.processes import child
from explorer.processes.gpus import VARIABLE

# A line for a worker, and one that it writes before its reply; see `explorer.processes.worker.serve`.
Request = Mapping[str, object]
Word = Mapping[str, Any]

CHUNK = 1 << 16
LOG_TAIL = 4000  # characters of a dead worker's log that its failure keeps


class Worker:
    """One process of `explorer.processes.worker`; the first request starts it, as does the first after its death.

    Parameters
    ----------
    threads
        That it computes on.
    folder
        That it works in; this process's unless given.
    gpu
        The only GPU that it sees, by the name that ``CUDA_VISIBLE_DEVICES`` takes; this process's GPUs unless given.
    """

    def __init__(
        self, kind: str, name: str, log: Path, threads: int, folder: Path | None = None, gpu: str | None = None
    ) -> None:
        self.kind = kind
        self.threads = threads
        self.name = name
        self.log = log
        self.folder = folder
        self.gpu = gpu
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._asking = threading.RLock()

    def request(
        self, request: Request, timeout: float | None = None, hear: Callable[[Word], None] = lambda word: None
    ) -> Any:
        """Send one request, wait for its reply and return the values in it.

        Parameters
        ----------
        timeout
            Seconds of silence after which the process is killed; None waits for ever.
        hear
            Takes the words that the worker says before its reply: how far it is, and notes.

        Raises
        ------
        StageFailed
            With the failure that the worker reported, or of kind ``crash`` or ``timeout`` when the process is gone, or
            ``stopped`` when another thread has ended it.
        """
        with self._asking:
            return self._reply(request, timeout, hear)

    def stop(self) -> None:
        """End the process at once, from any thread; one that waits for a reply gets a failure."""
        if process := self._process:
            self._process = None
            process.kill()
            with self._asking:  # to close a pipe that another thread reads may close a file opened meanwhile
                process.communicate()

    def renew(self) -> None:
        """Answer the next request in another process."""
        self.stop()

    def _reply(self, request: Request, timeout: float | None, hear: Callable[[Word], None]) -> Any:
        process = self._running()
        subject = str(request.get("stage", request.get("call")))
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process, timeout)
            while line and not {"values", "failure"} & (word := json.loads(line)).keys():
                hear(word)
                line = self._line(process, timeout)
        except TimeoutError:
            raise self._gone(subject, "timeout", f"no answer within {timeout:g} s") from None
        except BrokenPipeError:
            line = b""
        if not line and self._process is not process:
            raise stopped(subject)
        if not line:
            raise self._gone(subject, "crash", f"the {self.kind} worker {cause_of_end(process, request)}")
        reply = json.loads(line)
        if reply.get("ends"):
            self.stop()
        if "failure" in reply:
            raise StageFailed(Failure(**reply["failure"]))
        return reply["values"]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._unread = b""
            environment = {"OMP_NUM_THREADS": str(self.threads)}
            if self.gpu is not None:
                environment[VARIABLE] = self.gpu
            self._process = child.start(
                "explorer.processes.worker", self.kind, log=self.log, environment=environment, folder=self.folder
            )
        return self._process

    def _line(self, process: subprocess.Popen[bytes], timeout: float | None) -> bytes:
        """Return the next line, or nothing if the process has closed its end."""
        assert process.stdout is not None
        while b"\n" not in self._unread:  # read without a buffer, whose lines `select` would not see
            waits = repeat(None) if timeout is None else clocks.waits(timeout)
            if not any(_has_something(process.stdout.fileno(), seconds) for seconds in waits):
                raise TimeoutError
            chunk = os.read(process.stdout.fileno(), CHUNK)
            if not chunk:
                return b""
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _gone(self, subject: str, kind: str, message: str) -> StageFailed:
        self.stop()
        log = regular.end(self.log, LOG_TAIL).decode(errors="replace")
        return StageFailed(Failure(subject, kind, message, log))


def _has_something(descriptor: int, seconds: float | None) -> bool:
    """Wait for so many seconds until there is something to read, or the other end is closed; tell whether there is."""
    waiting = select.poll()  # `select.select` takes no descriptor above 1023
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(None if seconds is None else 1e3 * seconds))


def stopped(subject: str = "") -> StageFailed:
    """Return the failure of a request whose worker is ended because the explorer ends."""
    return StageFailed(Failure(subject, "stopped", "the explorer was stopped"))


@contextlib.contextmanager
def temporary(kind: str, name: str, logs: Path) -> Iterator[Worker]:
    """Give a worker with one compute thread that ends with the context; its log is elsewhere if `logs` is read-only."""
    with contextlib.ExitStack() as until_then:
        try:
            logs.mkdir(parents=True, exist_ok=True)
            (logs / f"{name}.log").touch()
        except OSError:
            logs = Path(until_then.enter_context(tempfile.TemporaryDirectory(prefix="dlas-logs-")))
        worker = Worker(kind, name, logs / f"{name}.log", 1)
        try:
            yield worker
        finally:
            worker.stop()


class Pool:
    """Workers of one kind that threads of the explorer borrow.

    Parameters
    ----------
    threads
        That each worker computes on.
    name
        Of the worker, where it is the only one.
    gpus
        Of which the workers see one each, in turn; all see this process's GPUs unless given.
    """

    def __init__(
        self, kind: str, size: int, logs: Path, threads: int, name: str | None = None, gpus: Sequence[str] = ()
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        names = [name or f"{kind} {i + 1}" for i in range(size)]
        self._workers = [
            Worker(kind, name, logs / f"{name.replace(' ', '-')}.log", threads, gpu=gpu)
            for name, gpu in zip(names, cycle(gpus or [None]), strict=False)
        ]
        self._stopped = False
        # Last in, first out: a worker that already imported its library is preferred to one that has yet to start.
        self._free: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in reversed(self._workers):
            self._free.put(worker)

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Worker]:
        """Give a free worker, waiting for one if need be.

        Raises
        ------
        StageFailed
            If the pool was stopped.
        """
        worker = self._free.get()
        try:
            if self._stopped:
                raise stopped()
            yield worker
        finally:
            self._free.put(worker)

    def stop(self) -> None:
        """End every process of the pool, for good."""
        self._stopped = True
        for worker in self._workers:
            worker.stop()


def cause_of_end(process: subprocess.Popen[bytes], request: Request) -> str:
    """Return, once a worker's process has ended, how it did, and what may help if memory was short."""
    status = process.wait()
    if status >= 0:
        return f"ended with exit code {status}"
    hint = f" (if memory was short, {advice})" if (advice := _advice(request)) else " (was memory short?)"
    return f"was ended by {signal.Signals(-status).name}{hint if -status == signal.SIGKILL else ''}"


def _advice(request: Request) -> str:
    """Return advice by which a request that trains takes less memory; "" for one that does not train."""
    parameters = request.get("parameters")
    batch = parameters.get("batch_size") if isinstance(parameters, Mapping) else None
    return f"lower [{request['stage']}] batch_size (now {batch})" if batch else ""
