"""Entries of the devices file → devices that answer, each with its target, leased to one measurement at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from explorer.core.errors import DeviceError, StageFailed
from explorer.core.identity import CORES, TARGET, Identity
from explorer.engines.context import EngineContext
from explorer.engines.executor import Executor
from explorer.engines.workers import TVM, Workers
from explorer.space.devices import Device

PROBE_TIMEOUT = 90  # seconds until a device that says nothing is given up

Target = Mapping[str, object]


class Described(NamedTuple):
    """The TVM target that a device compiles for, how many float32 a vector register of it holds, and what it is."""

    target: Target
    lanes: int
    identity: Identity


class Devices:
    """The devices of a study; a context manager that takes the servers down again which it has started."""

    def __init__(self, context: EngineContext, workers: Workers, executor: Executor) -> None:
        self._context, self._workers, self._executor = context, workers, executor
        self._devices = dict(context.devices)
        self._described: dict[str, Described] = {}
        self._leases = {name: threading.Lock() for name in context.devices}
        self._servers: dict[str, contextlib.ExitStack] = {}  # of the loopback devices

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Serve the loopback devices and ask every device for its target; take the servers down at the end.

        Raises
        ------
        DeviceError
            If a device does not answer, offers fewer threads than the study asks for, or cannot run one of its dtypes.
        """
        with contextlib.ExitStack() as servers:
            for name, device in self._context.devices.items():
                if device.is_loopback:
                    self._servers[name] = servers.enter_context(contextlib.ExitStack())
                    self._serve(name)
                self._described[name] = self._describe(self._devices[name])
            for name in self._described:
                self._remember(name)
            yield

    def __getitem__(self, name: str) -> Device:
        """Return a device with the tracker that it is reached at now."""
        return self._devices[name]

    def target(self, name: str) -> Target:
        """Return the TVM target that a device compiles for."""
        return self._described[name].target

    def lanes(self, name: str) -> int:
        """Return how many float32 a vector register of a device holds."""
        return self._described[name].lanes

    def identity(self, name: str) -> Identity:
        """Return what a device has said that it is, when it was reached."""
        return self._described[name].identity

    def leased(self, name: str) -> threading.Lock:
        """Return the lock whose holder has a device alone."""
        return self._leases[name]

    def is_served(self, name: str) -> bool:
        """Tell whether the explorer itself runs the device's server."""
        return name in self._servers

    def serve_again(self, name: str) -> None:
        """Start a new tracker and server for a loopback device that no longer answers."""
        self._context.observer.note(f"the server of device '{name}' is gone; starting it again")
        self._serve(name)

    def _serve(self, name: str) -> None:
        """Serve a loopback device, in place of the server that it had."""
        server, device = self._servers[name], self._devices[name]
        server.close()
        log = self._context.logs / f"device-{name}.log"
        served = server.enter_context(self._workers.serve(device, log))
        if self._threads(device) > len(served.cores):
            has = "one core" if len(served.cores) == 1 else f"{len(served.cores)} cores"
            raise DeviceError(
                f"the search space asks for {self._threads(device)} threads and device '{name}' has {has}; allowed: at "
                f"most {len(served.cores)}"
            )
        self._devices[name] = device.model_copy(update={"tracker": served.tracker, "cores": served.cores})

    def _threads(self, device: Device) -> int:
        """Return the most threads that the study asks of a device: of a GPU's processor, one."""
        return 1 if device.is_gpu else self._context.threads

    def _describe(self, device: Device) -> Described:
        arguments = {
            "tracker": device.address,
            "key": device.key,
            "target": device.target,
            "threads": self._threads(device),
            "device": device.name,
            "asked": self._context.narrow.get(device.name, {}),
        }
        request = {"call": "explorer.line.probing.describe:describe", "arguments": arguments}
        try:
            with self._executor.worker(TVM, f"reach {device.name}", device) as worker:
                answer = worker.request(request, PROBE_TIMEOUT)
        except StageFailed as failed:
            raise DeviceError(failed.failure.message) from failed
        # The entry's own: another core may be a faster one, and threads are bound to those of the entry in their order.
        entry = self._context.devices[device.name]
        cores = {CORES: list(entry.cores)} if entry.is_loopback and entry.cores and not entry.is_gpu else {}
        identity = Identity({TARGET: answer["target"], **cores, **answer["facts"]})
        return Described(answer["target"], answer["lanes"], identity)

    def _remember(self, name: str) -> None:
        """Put on record what a device is, and tell the user if it was another one the last time."""
        known, now = self._context.records.devices, self.identity(name)
        before = known.last(name)
        known.add(name, now)
        if before and before.key != now.key:
            self._context.observer.note(
                f"device '{name}' is another one than the last time: {now.differences(before)}; it is measured anew, "
                "and what was measured before stays on record"
            )
