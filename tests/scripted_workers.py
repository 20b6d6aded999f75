"""Workers that answer by a script, for tests of what an engine does with any workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from explorer.core.measurement.sessions import Readings
from explorer.engines.context import EngineContext
from explorer.engines.workers import Served, WorkerHandle
from explorer.inputs.external import ExternalInputs
from explorer.processes.cores import Cores
from explorer.processes.pool import Request, Word
from explorer.space.devices import Device
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests.studies import Events

NATIVE = {"kind": "llvm", "mcpu": "here"}
UNREAD = Readings()  # of a device without a control
BOARD = Device(name="board", key="board", tracker="10.0.0.1:9190")


def context_of(
    root: Path, devices: Mapping[str, Device] | None = None, threads: int = 1, jobs: int | None = None
) -> EngineContext:
    """Return what an engine works with in a workspace at `root`; its observer is one of `Events`."""
    place = Workspace(root)
    store, external = Store(place.artifacts), ExternalInputs({}, {}, {})
    return EngineContext(store, Records(place.url), place.logs, external, devices or {}, threads, Events(), jobs)


def session_of(
    samples: list[float],
    readings: Readings = UNREAD,
    quiet: list[int] | None = None,
    no_control: str = "",
) -> dict[str, Any]:
    """Return what stage ``measure`` answers of these samples in ms, all of them quiet unless their indices are said.

    Each sample is one run.
    """
    return {
        "samples_ms": samples,
        "quiet": list(range(len(samples))) if quiet is None else quiet,
        "runs_ms": [[sample] for sample in samples],
        "load_ms": 20.0,
        "first_ms": 2 * max(samples),
        "server_peak_bytes": 10**8,
        "typical": list(readings),
        "no_control": no_control,
    }


class WatchedCores(Cores):
    """Cores that say what they are held for."""

    def __init__(self) -> None:
        super().__init__()
        self.use = "nothing"

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        with super().computing():
            self.use = "computing"
            yield
            self.use = "nothing"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with super().alone():
            self.use = "alone"
            try:
                yield
            finally:
                self.use = "nothing"


class ScriptedWorkers:
    """Answers requests by `answers`, from a stage's or function's name, and remembers what the cores were held for."""

    concurrency = 2
    sizes: Mapping[str, int] = {"torch": 1, "tvm": 1}

    def __init__(self, trains_alone: bool = True) -> None:
        self.trains_alone = trains_alone
        self.cores = WatchedCores()
        self.answers: dict[str, Any] = {
            "explorer.line.probing.describe:describe": {"target": NATIVE, "lanes": 8, "threads": 2, "facts": {}},
            "dlas_ops.processor.targets:native_target": NATIVE,
            "control": {},
        }
        self.asked: list[tuple[str, str, str]] = []  # what, kind of worker, use of the cores
        self.requests: list[Request] = []
        self.served: list[Device] = []
        self.running = 0  # servers
        self.started = self.stopped = False
        self.renewed = 0  # how often a worker was

    @contextlib.contextmanager
    def start(self) -> Iterator[None]:
        self.started = True
        yield
        self.started = False

    def stop(self) -> None:
        self.stopped = True

    @contextlib.contextmanager
    def worker(self, kind: str, device: Device | None = None) -> Iterator[WorkerHandle]:
        yield ScriptedWorker(self, kind)

    @contextlib.contextmanager
    def serve(self, device: Device, log: Path) -> Iterator[Served]:
        self.served.append(device)
        self.running += 1
        try:
            yield Served(f"127.0.0.1:{len(self.served)}", device.cores or (0, 1))
        finally:
            self.running -= 1


class ScriptedWorker:
    """Gives the next answer of the script, which is raised if it is an exception, and called if it is a function."""

    def __init__(self, workers: ScriptedWorkers, kind: str) -> None:
        self.name = f"{kind} 1"
        self._workers, self._kind = workers, kind

    def request(
        self, request: Request, timeout: float | None = None, hear: Callable[[Word], None] = lambda word: None
    ) -> Any:
        what = str(request.get("stage", request.get("call")))
        self._workers.asked.append((what, self._kind, self._workers.cores.use))
        self._workers.requests.append(request)
        answer = self._workers.answers[what]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def renew(self) -> None:
        self._workers.renewed += 1
