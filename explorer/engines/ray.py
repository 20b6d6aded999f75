"""Stage → artifact on a Ray cluster: stages are tasks on any of its nodes, devices are resources of some of them.

All nodes see the workspace and the data sets under the same paths and have the explorer installed. What decides, asks
and records stays in this process: trials, records and artifacts are those of the local engine.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from explorer.core.errors import DeviceError, ExplorerError, Failure, StageFailed
from explorer.engines._devices import Answers, Surroundings
from explorer.engines._stages import ALONE, RECONNECT_SECONDS, StageEngine
from explorer.processes import loopback
from explorer.processes.cores import Cores
from explorer.processes.pool import Worker
from explorer.space.devices import Device

ADDRESSED = True

RESOURCE = "device:"  # what a node that reaches a device has one of, with the device's name behind it
AUTO = "auto"  # the address of the cluster that this machine is a node of
CONNECT_SECONDS = 10
RETRIES = 5  # of a task whose node, or whose process there, died
POLL_SECONDS = 0.2
WORDS = ".words"  # of a draft: the file beside it in which its task says how far it is


def build(given: Surroundings, address: str | None) -> StageEngine:
    """Return the engine for the cluster at `address`; see `RayEngine`."""
    return RayEngine(given, address)


class RayEngine(StageEngine):
    """Runs stages on a Ray cluster.

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

    def __init__(self, given: Surroundings, address: str | None = None) -> None:
        super().__init__(given, _Counted())
        try:
            import ray
        except ImportError:
            raise ExplorerError("engine ray needs Ray: pip install 'dlas-explorer[ray]'") from None
        self._ray, self._address = ray, address
        self._numbers = itertools.count(1)
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
        return {"torch": max(1, self._cores_of_all // self._threads_of("torch")), "tvm": self._cores_of_all}

    def stop(self) -> None:
        """End all tasks; whoever waits for one sees it die."""
        self._stopped = True
        self._cores.stopping.set()
        for task in list(self._tasks):
            self._ray.cancel(task, force=True)

    def _start(self) -> None:
        """Connect to the cluster, or start one.

        Raises
        ------
        DeviceError
            If there is no cluster, or no node of it has one of the devices.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"address": self._address or "local"}
        if self._address is None:
            devices = {f"{RESOURCE}{name}": 1 for name in self._devices}
            options |= {"num_cpus": os.cpu_count() or 1, "resources": devices, "include_dashboard": False}
        try:
            if self._address not in (None, AUTO):
                _reach(str(self._address))
            self._ray.init(**options, log_to_driver=False, logging_level="ERROR")
        except OSError as error:
            raise DeviceError(f"no Ray cluster answers at '{self._address}': {str(error).splitlines()[0]}") from error
        self._exit.callback(self._ray.shutdown)
        for name in self._devices:
            self._node_of(name)
        self._task = self._ray.remote(max_retries=RETRIES)(answer)

    @contextlib.contextmanager
    def _worker(self, kind: str, device: str = "") -> Iterator[Answers]:
        if self._stopped:
            raise StageFailed(Failure("", "stopped", "the explorer was stopped"))
        yield _Remote(self, kind, device)

    def _serve(self, device: Device) -> Device:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        stack = self._replaced(device)
        there = NodeAffinitySchedulingStrategy(self._node_of(device.name)["NodeID"], soft=False)
        server = self._ray.remote(num_cpus=0, scheduling_strategy=there)(_Loopback).remote()
        stack.callback(self._ray.kill, server)
        log = (self._logs / f"device-{device.name}.log").absolute()
        tracker, cores = self._ray.get(server.serve.remote(device.key, device.cores, str(log)))
        self._check_cores(device, cores)
        return self._served(device, tracker, cores)

    @property
    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    @property
    def _cores_of_all(self) -> int:
        return int(sum(node["Resources"].get("CPU", 0) for node in self._nodes))

    def _node_of(self, device: str) -> dict[str, Any]:
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
        cores = max(1, *(int(node["Resources"].get("CPU", 0)) for node in self._nodes))
        return {"torch": max(1, cores // 2), ALONE: cores}.get(kind, 1)

    def _resources(self, kind: str, device: str) -> dict[str, Any]:
        """Return what a task occupies; one on a loopback device has its node to itself."""
        if not device:
            return {"num_cpus": self._threads_of(kind)}
        cores = 1
        if self._devices[device].is_here:
            cores = int(self._node_of(device)["Resources"].get("CPU", 0))
        return {"num_cpus": cores, "resources": {f"{RESOURCE}{device}": 1}}


def _reach(address: str) -> None:
    """Connect to ``host:port`` once: Ray itself would try for minutes.

    Raises
    ------
    OSError
        If nobody listens there.
    ExplorerError
        If it is no such address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ExplorerError(f"address '{address}' is neither host:port nor {AUTO}")
    socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


class _Remote:
    """A worker on whatever node Ray chooses."""

    def __init__(self, engine: RayEngine, kind: str, device: str) -> None:
        self._engine, self._kind, self._device = engine, kind, device
        self.name = f"ray {next(engine._numbers)}"

    def request(
        self,
        request: Mapping[str, Any],
        timeout: float | None = None,
        hear: Callable[[Mapping[str, Any]], None] = lambda word: None,
    ) -> Any:
        engine, ray = self._engine, self._engine._ray
        subject = str(request.get("stage", request.get("call")))
        words = Path(f"{request['out']}{WORDS}") if "out" in request else None
        folder, logs = str(Path.cwd()), str(engine._logs.absolute())
        task = engine._task.options(**engine._resources(self._kind, self._device)).remote(
            self._kind, engine._threads_of(self._kind), folder, logs, dict(request), timeout, words and str(words)
        )
        engine._tasks.add(task)
        try:
            self._wait(task, subject, _Words(words, hear))
            reply = ray.get(task)
        except ray.exceptions.RayTaskError:
            raise  # a defect of `answer`
        except ray.exceptions.RayError as error:
            stopped = engine._stopped
            message = "the explorer was stopped" if stopped else f"Ray lost the task: {str(error).splitlines()[0]}"
            raise StageFailed(Failure(subject, "stopped" if stopped else "crash", message)) from None
        finally:
            engine._tasks.discard(task)
            if words:
                words.unlink(missing_ok=True)
        if "failure" in reply:
            raise StageFailed(Failure(**reply["failure"]))
        return reply["values"]

    def _wait(self, task: Any, subject: str, words: _Words) -> None:
        """Wait until a task has ended, and tell what it says meanwhile.

        Raises
        ------
        StageFailed
            If the last node that had the device is gone, and does not come back.
        """
        gone = 0.0
        while not self._engine._ray.wait([task], timeout=POLL_SECONDS)[0]:
            words.tell()
            wanted = f"{RESOURCE}{self._device}"
            if not self._device or wanted in self._engine._ray.cluster_resources():
                gone = 0.0
                continue
            gone = gone or time.monotonic()
            if time.monotonic() - gone > RECONNECT_SECONDS:
                self._engine._ray.cancel(task, force=True)
                waited = f"(waited for {RECONNECT_SECONDS} s)"
                message = f"no node of the Ray cluster has the resource '{wanted}' any more {waited}"
                raise StageFailed(Failure(subject, "device", message))
        words.tell()


class _Words:
    """What a task has written of its progress, each word told once."""

    def __init__(self, path: Path | None, hear: Callable[[Mapping[str, Any]], None]) -> None:
        self._path, self._hear, self._told = path, hear, 0

    def tell(self) -> None:
        """Tell what is new."""
        if self._path is None or not self._path.exists():
            return
        lines = self._path.read_text().splitlines(keepends=True)
        if len(lines) < self._told:  # the task began again on another node
            self._told = 0
        for line in lines[self._told :]:
            if line.endswith("\n"):
                self._hear(json.loads(line))
                self._told += 1


class _Counted(Cores):
    """Cores that Ray counts: here nobody waits for anybody."""

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        yield


class _Loopback:
    """On a node: the tracker and server of a loopback device, which end with this actor's process."""

    def serve(self, key: str, cores: Sequence[int] | None, log: str) -> tuple[str, tuple[int, ...]]:
        """Start them; return the tracker's address and the cores that the server has."""
        own = tuple(cores or sorted(os.sched_getaffinity(0)))
        self._stack = contextlib.ExitStack()
        return self._stack.enter_context(loopback.server(key, own, Path(log))), own


# On a node, in each of Ray's processes: kind and threads → the worker that was started there.
_WORKERS: dict[tuple[str, int, str], Worker] = {}


def answer(
    kind: str, threads: int, folder: str, logs: str, request: dict[str, Any], timeout: float | None, words: str | None
) -> dict[str, Any]:
    """Have a worker process of this node answer a request; return its reply.

    Parameters
    ----------
    folder : that the explorer was started in, which relative paths are of
    words : file for what the worker says before its reply
    """
    if "out" in request:  # a task that died with its node may have left something there
        shutil.rmtree(request["out"], ignore_errors=True)
        Path(request["out"]).mkdir(parents=True)
    name = f"ray-{kind.replace(' ', '-')}-{os.getpid()}"
    worker = _WORKERS.get((kind, threads, folder))
    if worker is None:
        worker = Worker("torch" if kind == ALONE else kind, name, Path(logs) / f"{name}.log", threads, Path(folder))
        _WORKERS[kind, threads, folder] = worker
    with contextlib.nullcontext() if words is None else open(words, "w", buffering=1) as told:

        def hear(word: Mapping[str, Any]) -> None:
            if told:
                told.write(json.dumps(word) + "\n")

        try:
            return {"values": worker.request(request, timeout, hear)}
        except StageFailed as failed:
            return {"failure": asdict(failed.failure)}
