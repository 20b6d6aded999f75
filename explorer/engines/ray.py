"""Workers of a Ray cluster: stages are tasks on any of its nodes, devices are resources of some of them.

All nodes see the workspace and the data sets under the same paths and have the explorer installed. Decisions,
proposals and records stay in this process: trials, records and artifacts are those of the local engine.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlas_ops.processor.usable_cores import core_count, wanted_threads
from explorer.core.errors import DeviceError, ExplorerError, Failure, StageFailed
from explorer.core.measurement import clocks
from explorer.engines import ray_node
from explorer.engines.context import EngineContext
from explorer.engines.workers import ALONE, TORCH, TVM, Served, WorkerHandle
from explorer.processes import child, temporary
from explorer.processes.pool import Request, Word, stopped
from explorer.space.devices import Device

ADDRESSED = True

RESOURCE = "device:"  # followed by a device's name: the resource of a node that reaches the device
AUTO = "auto"  # the address of the cluster that this machine is a node of
CONNECT_SECONDS = 10
RETRIES = 5  # of a task whose node, or whose process there, died
GONE_SECONDS = 60  # that a device whose last node is gone is waited for
POLL_SECONDS = 0.2
WORDS = ".words"  # of a draft: the file beside it in which its task says how far it is

Node = Mapping[str, Any]  # as `ray.nodes` describes one


def build(context: EngineContext, address: str | None) -> RayWorkers:
    """Return the workers of the cluster at `address`; see `RayWorkers`."""
    return RayWorkers(context, address)


class RayWorkers:
    """Workers of a Ray cluster; see `explorer.engines.workers.Workers`.

    Ray counts cores: a stage has as many as it computes with, and a measurement on a loopback device all those of its
    node.

    Parameters
    ----------
    address
        Of the cluster's head, ``"host:port"``, or `AUTO`; None starts a cluster of this machine alone.

    Raises
    ------
    ExplorerError
        If Ray is not installed.
    """

    trains_alone = True

    def __init__(self, context: EngineContext, address: str | None = None) -> None:
        try:
            import ray
        except ImportError:
            raise ExplorerError("engine ray needs Ray: pip install 'dlas-explorer[ray]'") from None
        self.cores = UncontendedCores()
        self.ray, self._address = ray, address
        self._devices, self._logs = context.devices, context.logs.absolute()
        self._numbers = itertools.count(1)
        self._most_threads = wanted_threads() or sys.maxsize  # this machine's cores say nothing of a cluster's
        self._tasks: set[Any] = set()
        self._stopped = False

    @property
    def concurrency(self) -> int:
        """How many trials are worth being under way at once.

        A measurement on a node's own cores waits until all of them are free: as many others as there are cores keep
        them busy until then.
        """
        return 1 + 2 * self._cores_of_all

    @property
    def sizes(self) -> Mapping[str, int]:
        """Kind of worker → how many stages of that kind are executed at once."""
        return {TORCH: max(1, self._cores_of_all // self._threads_of(TORCH)), TVM: self._cores_of_all}

    @contextlib.contextmanager
    def start(self) -> Iterator[None]:
        """Connect to the cluster, or start one, until the context ends.

        Raises
        ------
        DeviceError
            If there is no cluster, or no node of it has one of the devices.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, object] = {"address": self._address or "local"}
        if self._address is None:
            devices = {f"{RESOURCE}{name}": 1 for name in self._devices}
            options |= {"num_cpus": core_count(), "resources": devices, "include_dashboard": False}
        try:
            if self._address not in (None, AUTO):
                reach(str(self._address))
            os.environ["TMPDIR"] = tempfile.tempdir = temporary.folder()  # where Ray has its sockets
            with _at_home():
                self.ray.init(**options, log_to_driver=False, logging_level="ERROR")
        except OSError as error:
            raise DeviceError(f"no Ray cluster answers at '{self._address}': {str(error).splitlines()[0]}") from error
        try:
            for name in self._devices:
                self._node_of(name)
            self._answer = self.ray.remote(max_retries=RETRIES)(ray_node.answer)
            yield
        finally:
            self.ray.shutdown()

    def stop(self) -> None:
        """End all tasks; a thread that waits for one sees it die."""
        self._stopped = True
        for task in list(self._tasks):
            self.ray.cancel(task, force=True)

    @contextlib.contextmanager
    def worker(self, kind: str, device: Device | None = None) -> Iterator[WorkerHandle]:
        """Give a worker of `kind`, which is on a node from its request to its reply."""
        self._check_stopped()
        yield RayWorker(self, f"ray {next(self._numbers)}", kind, device)

    @contextlib.contextmanager
    def serve(self, device: Device, log: Path) -> Iterator[Served]:
        """Run the tracker and server of a loopback device on the node that has it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(self._node_of(device.name)["NodeID"], soft=False)
        server = self.ray.remote(num_cpus=0, scheduling_strategy=there)(ray_node.Loopback).remote()
        try:
            served: Served = self.ray.get(server.serve.remote(device.key, device.cores, str(log.absolute())))
            yield served
        finally:
            self.ray.kill(server)

    @contextlib.contextmanager
    def task(
        self, kind: str, device: Device | None, request: Request, timeout: float | None, words: Path | None
    ) -> Iterator[Any]:
        """Give the task in which a node answers `request`, which `stop` ends."""
        place = ray_node.Place(kind, self._threads_of(kind), str(Path.cwd()), str(self._logs))
        submit = self._answer.options(**self._resources(kind, device))
        task = submit.remote(place, dict(request), timeout, words and str(words))
        self._tasks.add(task)
        try:
            yield task
        except self.ray.exceptions.RayTaskError:
            raise  # a defect of `ray_node.answer`
        except self.ray.exceptions.RayError as error:
            self._check_stopped(_subject(request))
            message = f"Ray lost the task: {str(error).splitlines()[0]}"
            raise StageFailed(Failure(_subject(request), "crash", message)) from None
        finally:
            self._tasks.discard(task)

    def has(self, device: str) -> bool:
        """Tell whether a node of the cluster has a device."""
        return f"{RESOURCE}{device}" in self.ray.cluster_resources()

    def _check_stopped(self, subject: str = "") -> None:
        if self._stopped:
            raise stopped(subject)

    @property
    def _nodes(self) -> list[Node]:
        return [node for node in self.ray.nodes() if node["Alive"]]

    @property
    def _cores_of_all(self) -> int:
        return sum(map(_cores, self._nodes))

    def _node_of(self, device: str) -> Node:
        """Return the node that has a device.

        Raises
        ------
        DeviceError
            If there is none.
        """
        wanted = f"{RESOURCE}{device}"
        found = next((node for node in self._nodes if wanted in node["Resources"]), None)
        if found is None:
            start = f"ray start --address=… --resources='{json.dumps({wanted: 1})}'"
            raise DeviceError(f"no node of the Ray cluster has the resource '{wanted}'; start one with {start}")
        return found

    def _threads_of(self, kind: str) -> int:
        """Return the compute threads of a kind of worker: as locally, on the node that has most cores."""
        cores = most_cores(self._nodes)
        return min({TORCH: max(1, cores // 2), ALONE: cores}.get(kind, 1), self._most_threads)

    def _resources(self, kind: str, device: Device | None) -> dict[str, object]:
        """Return the resources that a task occupies; one on a loopback device has its node to itself."""
        if device is None:
            return {"num_cpus": self._threads_of(kind)}
        cores = _cores(self._node_of(device.name)) if device.is_here else 1
        return {"num_cpus": cores, "resources": {f"{RESOURCE}{device.name}": 1}}


@contextlib.contextmanager
def _at_home() -> Iterator[None]:
    """Be in the explorer's folder, and a program of it, for the time that Ray is started.

    Ray's processes import from the folder that it is started in, and from that of the program which starts it, before
    all others; and a user's file there may have the name of any module.
    """
    arguments, sys.argv = sys.argv, [str(child.HOME / "dlas")]
    try:
        with contextlib.chdir(child.HOME):
            yield
    finally:
        sys.argv = arguments


def most_cores(nodes: Sequence[Node]) -> int:
    """Return how many cores the node with most of them has; 1 of a cluster whose last node has died."""
    return max([1, *map(_cores, nodes)])


def _cores(node: Node) -> int:
    return int(node["Resources"].get("CPU", 0))


def _subject(request: Request) -> str:
    return str(request.get("stage", request.get("call")))


def reach(address: str) -> None:
    """Connect to ``host:port`` once: Ray itself would try for minutes.

    Raises
    ------
    OSError
        If no process listens there.
    ExplorerError
        If it is no such address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ExplorerError(f"address '{address}' is neither host:port nor {AUTO}")
    socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


class RayWorker:
    """A worker on whatever node Ray chooses."""

    def __init__(self, workers: RayWorkers, name: str, kind: str, device: Device | None) -> None:
        self.name = name
        self._workers, self._kind, self._device = workers, kind, device

    def request(
        self, request: Request, timeout: float | None = None, hear: Callable[[Word], None] = lambda word: None
    ) -> Any:
        """Return the values of the reply; see `explorer.processes.pool.Worker.request`."""
        words = Path(f"{request['out']}{WORDS}") if "out" in request else None
        try:
            with self._workers.task(self._kind, self._device, request, timeout, words) as task:
                self._wait(task, _subject(request), ray_node.Words(words, hear))
                reply = self._workers.ray.get(task)
        finally:
            if words:
                words.unlink(missing_ok=True)
        if "failure" in reply:
            raise StageFailed(Failure(**reply["failure"]))
        return reply["values"]

    def renew(self) -> None:
        """Do nothing: `ray_node.answer` has seen to that on the node."""

    def _wait(self, task: Any, subject: str, words: ray_node.Words) -> None:
        """Wait until a task has ended, and pass its words on meanwhile.

        Raises
        ------
        StageFailed
            If the last node that had the device is gone, and does not come back.
        """
        seen = clocks.running()
        while not self._workers.ray.wait([task], timeout=POLL_SECONDS)[0]:
            words.tell()
            if not self._device or self._workers.has(self._device.name):
                seen = clocks.running()
            elif clocks.running() - seen > GONE_SECONDS:
                self._workers.ray.cancel(task, force=True)
                lost = f"no node of the Ray cluster has the resource '{RESOURCE}{self._device.name}' any more"
                raise StageFailed(Failure(subject, "device", f"{lost} (waited for {GONE_SECONDS} s)"))
        words.tell()


class UncontendedCores:
    """Cores that Ray counts: here no thread waits for another."""

    def computing(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that does nothing."""
        return contextlib.nullcontext()

    alone = computing
