"""Stage → artifact on this machine: workers are processes of it, one kind for torch and one for TVM."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from explorer.engines._devices import Answers, Surroundings
from explorer.engines._stages import ALONE, StageEngine
from explorer.processes import loopback
from explorer.processes.cores import SharedCores
from explorer.processes.pool import Pool
from explorer.space.devices import Device
from explorer.workspace.store import HOST


def build(given: Surroundings, address: str | None) -> StageEngine:
    """Return the engine; there is no address to it."""
    return LocalEngine(given)


class LocalEngine(StageEngine):
    """Runs stages in worker processes of this machine."""

    def __init__(self, given: Surroundings) -> None:
        super().__init__(given, SharedCores(given.store.lock(f"cores-{HOST}"), given.store.lock(f"turn-{HOST}")))
        self._helping = given.helping
        logs = given.logs
        cores = os.cpu_count() or 1
        # A small network trains on half of the cores while others compile on one core each. OpenMP's threads wait for
        # one another at every operator: with a busy process on one of two cores, training a small network on both took
        # 3 times as long as on one (torch 2.15), and 15 times with two busy processes. What trains for long has all
        # cores, and has them alone.
        self._pools = {
            "torch": Pool("torch", self.sizes["torch"], logs, max(1, cores // 2)),
            ALONE: Pool("torch", 1, logs, cores, ALONE),
            "tvm": Pool("tvm", self.sizes["tvm"], logs, 1),
        }

    @property
    def concurrency(self) -> int:
        """How many trials are worth being under way at once: one that trains while the others compile."""
        return sum(self.sizes.values())

    @property
    def sizes(self) -> Mapping[str, int]:
        """Kind of worker → how many stages of that kind are executed at once."""
        # Compiling takes one core each, and whoever leads the study has a worker for each core already.
        return {"torch": 1, "tvm": 1 if self._helping else os.cpu_count() or 1}

    def stop(self) -> None:
        """End all workers; whoever waits for one sees it die."""
        self._cores.stopping.set()
        for pool in self._pools.values():
            pool.stop()

    def _start(self) -> None:
        for pool in self._pools.values():
            self._exit.callback(pool.stop)

    def _worker(self, kind: str, device: str = "") -> contextlib.AbstractContextManager[Answers]:
        return self._pools[kind].borrow()

    def _serve(self, device: Device) -> Device:
        stack = self._replaced(device)
        cores = device.cores or tuple(sorted(os.sched_getaffinity(0)))
        self._check_cores(device, cores)
        log = self._logs / f"device-{device.name}.log"
        return self._served(device, stack.enter_context(loopback.server(device.key, cores, log)), cores)
