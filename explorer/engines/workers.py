"""Protocols between an engine and the modules that bring it workers, which ``local`` and ``ray`` implement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from explorer.engines.context import EngineContext
from explorer.processes.pool import Request, Word
from explorer.space.devices import Device

ALONE = "torch on all cores"  # the kind of worker that trains for long
TORCH, TVM = "torch", "tvm"  # the other kinds


class WorkerHandle(Protocol):
    """A worker that answers one request at a time."""

    @property
    def name(self) -> str:
        """The name that observers are told."""

    def request(
        self, request: Request, timeout: float | None = None, hear: Callable[[Word], None] = lambda word: None
    ) -> Any:
        """Return the reply's values; see `explorer.processes.pool.Worker.request`."""

    def renew(self) -> None:
        """Answer the next request in a process of its own: what ails this one shall ail no other request."""


class CoreGuard(Protocol):
    """Keeps computations from the cores that a measurement or a long training has alone."""

    def computing(self) -> AbstractContextManager[None]:
        """Hold the cores together with other computations."""

    def alone(self) -> AbstractContextManager[None]:
        """Hold the cores alone."""


@dataclass(frozen=True)
class Served:
    """A loopback device that is being served.

    Parameters
    ----------
    tracker
        ``"host:port"`` of the tracker that its server is registered with.
    cores
        The cores that the server is pinned to.
    """

    tracker: str
    cores: tuple[int, ...]


class Workers(Protocol):
    """Workers of one machine or of a cluster."""

    @property
    def cores(self) -> CoreGuard:
        """The cores of this machine."""

    @property
    def concurrency(self) -> int:
        """How many trials are worth being under way at once."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Kind of worker → how many stages of that kind are executed at once."""

    @property
    def trains_alone(self) -> bool:
        """Whether a training that takes long has a worker of kind `ALONE`, with all cores to itself."""

    def start(self) -> AbstractContextManager[None]:
        """Get ready to give workers; end them all when the context ends.

        Raises
        ------
        DeviceError
            If the workers, or the devices that they are to reach, are not there.
        """

    def stop(self) -> None:
        """End all workers now, from another thread; a thread that waits for one gets a failure of kind ``stopped``."""

    def worker(self, kind: str, device: Device | None = None) -> AbstractContextManager[WorkerHandle]:
        """Give a worker of `kind`, once one is free, for work that occupies `device` if that is given."""

    def serve(self, device: Device, log: Path) -> AbstractContextManager[Served]:
        """Run the tracker and server of a loopback device, which write to `log`.

        Raises
        ------
        DeviceError
            If they do not come up.
        """


class WorkersModule(Protocol):
    """A plug-in of kind ``engine``: a file of this folder that brings workers.

    Two literals may say more of it, each False unless given: ``ADDRESSED``, whether it takes an address, and
    ``TAKES_JOBS``, whether the user says how many stages it executes at once.
    """

    def build(self, context: EngineContext, address: str | None) -> Workers:
        """Return the workers of the cluster at `address`, or of this machine."""
