"""Tasks and actors of the Ray engine, as they run on a node, and how their words reach the explorer."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from explorer.core.errors import StageFailed
from explorer.engines.workers import ALONE, TORCH, Served
from explorer.processes import loopback
from explorer.processes.pool import Request, Word, Worker


class Place(NamedTuple):
    """Where and how a node's worker process runs.

    Parameters
    ----------
    threads
        That it computes on.
    folder
        That the explorer was started in, which relative paths start from.
    logs
        Folder of its log.
    """

    kind: str
    threads: int
    folder: str
    logs: str


# In each of Ray's processes on a node: the workers that were started there.
_WORKERS: dict[Place, Worker] = {}


def answer(place: Place, request: Request, timeout: float | None, words: str | None) -> dict[str, object]:
    """Pass a request to a worker process of this node; return its reply.

    Parameters
    ----------
    words
        File for the words that the worker says before its reply.
    """
    folder = Path(place.folder)  # that relative paths start from: Ray's own processes work in another
    out = request.get("out")
    if isinstance(out, str):  # a task that died with its node may have left something there
        shutil.rmtree(folder / out, ignore_errors=True)
        (folder / out).mkdir(parents=True)
    with (
        contextlib.nullcontext() if words is None else open(folder / words, "w", encoding="utf-8", buffering=1) as told
    ):

        def hear(word: Word) -> None:
            if told:
                told.write(json.dumps(word) + "\n")

        try:
            return {"values": _worker(place).request(request, timeout, hear)}
        except StageFailed as failed:
            if failed.failure.transient:
                _worker(place).renew()
            return {"failure": asdict(failed.failure)}


def _worker(place: Place) -> Worker:
    if place not in _WORKERS:
        name = f"ray-{place.kind.replace(' ', '-')}-{os.getpid()}"
        kind, log = TORCH if place.kind == ALONE else place.kind, Path(place.logs) / f"{name}.log"
        _WORKERS[place] = Worker(kind, name, log, place.threads, Path(place.folder))
    return _WORKERS[place]


class Words:
    """The words that a task has written into a file, each passed on once."""

    def __init__(self, path: Path | None, hear: Callable[[Word], None]) -> None:
        self._path, self._hear, self._told = path, hear, 0

    def tell(self) -> None:
        """Pass the new words on."""
        if self._path is None or not self._path.exists():
            return
        lines = self._path.read_text().splitlines(keepends=True)
        if len(lines) < self._told:  # the task began again on another node
            self._told = 0
        for line in lines[self._told :]:
            if line.endswith("\n"):
                self._hear(json.loads(line))
                self._told += 1


class Loopback:
    """The tracker and server of a loopback device, which end with this actor's process."""

    def serve(self, key: str, cores: Sequence[int] | None, log: str) -> Served:
        """Start them; by default they have all cores of the node."""
        own = loopback.cores_of(key, cores)
        self._stack = contextlib.ExitStack()
        return Served(self._stack.enter_context(loopback.server(key, own, Path(log))), own)
