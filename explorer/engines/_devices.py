"""Devices → reachable, each with its target; workers → asked for by kind: what engines share."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

from explorer.core import locks
from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.errors import DeviceError, StageFailed
from explorer.inputs.external import Origins
from explorer.processes.cores import Cores
from explorer.space.devices import Device
from explorer.workspace.records import Records
from explorer.workspace.store import Store

PROBE_TIMEOUT = 90


class Observer(Protocol):
    """Who is told what the workers do."""

    def started(self, worker: str, stage: str) -> None:
        """`worker` begins to execute `stage`."""

    def finished(self, worker: str) -> None:
        """`worker` is free again."""

    def advanced(self, worker: str, done: int, total: int, text: str) -> None:
        """`worker` has `done` of `total` steps of its stage behind it; `text` says so in the stage's words."""

    def note(self, message: str) -> None:
        """Something the user should know."""


class Answers(Protocol):
    """A worker that answers one request at a time."""

    name: str

    def request(
        self,
        request: Mapping[str, Any],
        timeout: float | None = None,
        hear: Callable[[Mapping[str, Any]], None] = lambda word: None,
    ) -> Any:
        """Return the reply's values; see `explorer.processes.pool.Worker.request`."""


@dataclass(frozen=True)
class Surroundings:
    """What an engine works with.

    Attributes
    ----------
    origins : what trials take from outside of the line
    devices : the devices that the study measures on, by name
    threads : the most threads that the study asks of each device
    helping : whether another process leads the study, which has workers on this machine, too
    """

    store: Store
    records: Records
    logs: Path
    origins: Origins
    devices: Mapping[str, Device]
    threads: int
    observer: Observer
    helping: bool = False


class DeviceEngine(ABC):
    """Brings devices and workers up; a context manager that takes everything down again.

    Parameters
    ----------
    cores
        Who may use the cores of this machine.
    """

    def __init__(self, given: Surroundings, cores: Cores) -> None:
        self._store, self._records, self._logs, self._observer = given.store, given.records, given.logs, given.observer
        self._devices = dict(given.devices)
        self._threads = given.threads
        self._cores = cores
        self._leases = {name: threading.Lock() for name in given.devices}
        self._servers: dict[str, contextlib.ExitStack] = {}  # of the loopback devices
        self._origins = given.origins
        self._targets: dict[str, Mapping[str, Any]] = {}
        self._lanes: dict[str, int] = {}
        self._host: Mapping[str, Any] = {}
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Bring the devices up and ask each for its target, before anything else is done.

        Raises
        ------
        DeviceError
            If a device cannot be reached.
        """
        with self._exit:  # taken down again if one device fails
            self._start()
            for name, device in list(self._devices.items()):
                self._targets[name] = self._describe(self._serve(device) if device.is_loopback else device)
            with self._worker("tvm") as worker:
                self._host = worker.request(
                    {"call": "dlas_ops.processor.targets:native_target", "arguments": {}}, PROBE_TIMEOUT
                )
            self._exit = self._exit.pop_all()
        return self

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """How many trials are worth being under way at once."""

    @property
    @abstractmethod
    def sizes(self) -> Mapping[str, int]:
        """Kind of worker → how many stages of that kind are executed at once."""

    @abstractmethod
    def stop(self) -> None:
        """End all workers; whoever waits for one sees it die."""

    @abstractmethod
    def _start(self) -> None:
        """Get ready to give workers, and have them taken down by ``self._exit``."""

    @abstractmethod
    def _worker(self, kind: str, device: str = "") -> contextlib.AbstractContextManager[Answers]:
        """Give a worker of `kind`, waiting for one if need be, for what occupies `device` if that is given."""

    @abstractmethod
    def _serve(self, device: Device) -> Device:
        """Start the tracker and server of a loopback device, in place of those it had; return where it is."""

    def computing(self) -> contextlib.AbstractContextManager[None]:
        """Hold this machine's cores together with other computations, never beside a measurement on them."""
        return self._cores.computing()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        """Return for each stage its parents that no stage makes; see `explorer.inputs.external`."""
        return self._origins.parents(c)

    def target(self, device: str) -> Mapping[str, Any]:
        """Return the TVM target that `device` compiles for."""
        return self._targets[device]

    def lanes(self, device: str) -> int:
        """Return how many float32 a vector register of `device` holds."""
        return self._lanes[device]

    @property
    def host(self) -> Mapping[str, Any]:
        """The TVM target of this machine, whose workers run the stages."""
        return self._host

    @contextlib.contextmanager
    def _leased(self, device: str) -> Iterator[None]:
        """Have `device` alone, of all threads and processes on this workspace."""
        lock = self._store.lock(f"device-{quote(device, safe='')}")
        with self._leases[device], locks.held(lock, self._cores.stopping):
            yield

    @contextlib.contextmanager
    def _working(self, kind: str, stage: str, device: str = "") -> Iterator[Answers]:
        with self._worker(kind, device) as worker:
            self._observer.started(worker.name, stage)
            try:
                yield worker
            finally:
                self._observer.finished(worker.name)

    def _check_cores(self, device: Device, cores: tuple[int, ...]) -> None:
        """Refuse more threads than a loopback device has cores."""
        if self._threads > len(cores):
            raise DeviceError(
                f"the search space asks for {self._threads} threads and device '{device.name}' has {len(cores)} cores; "
                f"allowed: at most {len(cores)}"
            )

    def _served(self, device: Device, tracker: str, cores: tuple[int, ...]) -> Device:
        """Remember where a loopback device is served."""
        self._devices[device.name] = device.model_copy(update={"tracker": tracker, "cores": cores})
        return self._devices[device.name]

    def _replaced(self, device: Device) -> contextlib.ExitStack:
        """Take down what serves a loopback device; return what will take down its successor."""
        if device.name not in self._servers:
            self._servers[device.name] = self._exit.enter_context(contextlib.ExitStack())
        self._servers[device.name].close()
        return self._servers[device.name]

    def _describe(self, device: Device) -> Mapping[str, Any]:
        arguments = {
            "tracker": device.tracker,
            "key": device.key,
            "target": device.target,
            "threads": self._threads,
        }
        try:
            with self._working("tvm", f"reach {device.name}", device.name) as worker:
                answer = worker.request({"call": "explorer.line.rpc:describe", "arguments": arguments}, PROBE_TIMEOUT)
        except StageFailed as failed:
            raise DeviceError(failed.failure.message) from failed
        self._lanes[device.name] = answer["lanes"]
        target: Mapping[str, Any] = answer["target"]
        return target
