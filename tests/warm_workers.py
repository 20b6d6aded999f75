"""Worker processes that one study of a test run leaves to the next: torch and TVM take longer to import than to use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Hashable
from typing import Any

from explorer.processes.pool import Request, Word
from explorer.processes.pool import Worker as Worker
from tests import ROOT

MOST = 5  # idle processes that are kept: a training's, one of a training on all cores, two compilations' and a device's
# Functions that leave nothing behind in a worker; whatever else is called in one ends with it.
HARMLESS = ("dlas_ops.processor.targets:native_target", "explorer.line.rpc:describe")
CHECK = "explorer.core.plugins:check_custom"  # imports modules of a folder

_idle: list[tuple[Hashable, subprocess.Popen[bytes]]] = []  # with what each is, the latest last


class WarmWorker(Worker):
    """A worker that begins with an idle process if there is one of its kind, and leaves its own when it is stopped.

    A process that was killed, or was at work when it was stopped, is not left, nor is one that has imported modules of
    a user's own, but for those of the tests. Standard error goes on into the log of the first worker of the process.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._reusable = True

    def request(
        self, request: Request, timeout: float | None = None, hear: Callable[[Word], None] = lambda word: None
    ) -> Any:
        """Send one request as any worker does."""
        with self._asking:
            if self._process is None:
                self._process, self._reusable = _taken(self._kind_of_process), True
            reusable, self._reusable = self._reusable and leaves_nothing(request), False
            try:
                return super().request(request, timeout, hear)
            finally:
                self._reusable = reusable and self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Leave the process to the next worker of its kind if it is idle; end it otherwise."""
        if self._process is not None and self._reusable:
            _idle.append((self._kind_of_process, self._process))
            self._process = None
            while len(_idle) > MOST:
                _, oldest = _idle.pop(0)
                oldest.kill()
                oldest.communicate()
        super().stop()

    @property
    def _kind_of_process(self) -> Hashable:
        """The properties that a process has from its start to its end."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        return self.kind, self.threads, self.folder or os.getcwd(), self.gpu, frozenset(environment.items())


def _taken(kind: Hashable) -> subprocess.Popen[bytes] | None:
    """Return the idle process of `kind` that was at work last, None if there is none."""
    place = next((place for place in reversed(range(len(_idle))) if _idle[place][0] == kind), None)
    return None if place is None else _idle.pop(place)[1]


def leaves_nothing(request: Request) -> bool:
    """Tell whether a request leaves a worker as it was but for modules that are the same whenever they are imported."""
    arguments: Any = request.get("arguments", {})
    parents: Any = request.get("parents", {})
    codes = [parent["path"] for parent in parents.values() if parent["stage"] == "code"]
    if "call" in request:
        return request["call"] in HARMLESS or (request["call"] == CHECK and arguments["folder"] == str(ROOT))
    return all(path == str(ROOT) for path in codes)
