"""Workers that are processes of this machine: a kind for torch and one for TVM, as many of each as ``--jobs`` says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from dlas_ops.processor.usable_cores import core_count, thread_limit
from explorer.engines.context import EngineContext
from explorer.engines.workers import ALONE, TORCH, TVM, Served, WorkerHandle
from explorer.processes import gpus, loopback
from explorer.processes.cores import Cores
from explorer.processes.pool import Pool
from explorer.space.devices import Device

TAKES_JOBS = True


def build(context: EngineContext, address: str | None) -> LocalWorkers:
    """Return the workers; there is no address to this machine."""
    return LocalWorkers(context, core_count(), gpus.visible())


@dataclass(frozen=True)
class Share:
    """How much a machine computes at once.

    Parameters
    ----------
    trainings, compilations
        How many of each, beside one another.
    threads
        Compute threads of each training.
    """

    trainings: int
    compilations: int
    threads: int

    @classmethod
    def of(cls, jobs: int | None, cores: int, gpus: int, threads: int | None = None) -> Share:
        """Return the share for `jobs`; by default a training on each GPU, or one, and a compilation on each core.

        Trainings have half of the cores between them, and compilations one each. OpenMP's threads wait for one another
        at every operator: with a busy process on one of two cores, training a small network on both took 3 times as
        long as on one (torch 2.15), and 15 times with two busy processes. `threads` is the most that a training gets,
        if given.
        """
        trainings = jobs or max(1, gpus)
        share = max(1, cores // 2 // trainings)
        return cls(trainings, jobs or cores, min(share, threads or share))


class LocalWorkers:
    """Worker processes of this machine; see `explorer.engines.workers.Workers`.

    A training that takes long has all cores, and has them alone, unless there are several GPUs: then each worker for
    torch sees one of them, and long trainings go on side by side.

    Parameters
    ----------
    cores
        How many this process may use.
    gpus
        The names under which CUDA knows those of this machine.
    """

    def __init__(self, context: EngineContext, cores: int, gpus: tuple[str, ...]) -> None:
        self.cores = Cores()
        self.trains_alone = len(gpus) < 2
        threads = min(cores, thread_limit())
        self._share = share = Share.of(context.jobs, cores, len(gpus), threads)
        own = () if self.trains_alone else gpus
        self._pools = {
            TORCH: Pool(TORCH, share.trainings, context.logs, share.threads, gpus=own),
            ALONE: Pool(TORCH, 1, context.logs, threads, ALONE),
            TVM: Pool(TVM, share.compilations, context.logs, 1),
        }

    @property
    def concurrency(self) -> int:
        """How many trials are worth being under way at once: some train while others compile."""
        return sum(self.sizes.values())

    @property
    def sizes(self) -> Mapping[str, int]:
        """Kind of worker → how many stages of that kind are executed at once."""
        return {TORCH: self._share.trainings, TVM: self._share.compilations}

    @contextlib.contextmanager
    def start(self) -> Iterator[None]:
        """End all workers when the context ends; each starts with its first request."""
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """End all workers now; a thread that waits for one sees it die."""
        for pool in self._pools.values():
            pool.stop()

    def worker(self, kind: str, device: Device | None = None) -> AbstractContextManager[WorkerHandle]:
        """Give a worker of `kind`, once one is free."""
        return self._pools[kind].borrow()

    @contextlib.contextmanager
    def serve(self, device: Device, log: Path) -> Iterator[Served]:
        """Run the tracker and server of a loopback device; see `explorer.processes.loopback.server` for errors."""
        cores = loopback.cores_of(device.name, device.cores)
        with loopback.server(device.key, cores, log) as tracker:
            yield Served(tracker, cores)
