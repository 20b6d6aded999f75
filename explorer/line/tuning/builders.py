"""Decisions → libraries of candidates, built by processes that are forked from one that imported TVM once.

A builder that crashes or takes too long is replaced by a new fork, in milliseconds, and what it was building is tried
one by one, so that one bad candidate costs no other.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dlas_ops.processor.usable_cores import core_count

SECONDS_PER_CANDIDATE = 20.0
START_SECONDS = 60.0  # the first builder waits until its parent has imported TVM

Decision = Any
Error = tuple[str, str]


@dataclass(frozen=True)
class Library:
    """Candidates in one file.

    Attributes
    ----------
    path : archive of object files
    functions : (index of the decision, name of its function)
    """

    path: Path
    functions: list[tuple[int, str]]


class Builders:
    """A pool of processes that build; a context manager.

    Parameters
    ----------
    count
        Processes, by default one for each core that this one may use.
    """

    def __init__(self, target: dict[str, Any], tuner: str, count: int | None = None) -> None:
        self._target, self._tuner = target, tuner
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["explorer.line.tuning.building"])
        self._builders = [_Builder(self._context) for _ in range(count or core_count())]
        self._numbers = itertools.count()

    def __enter__(self) -> Builders:
        return self

    def __exit__(self, *_: object) -> None:
        for builder in self._builders:
            builder.stop()

    def build(
        self, program: Path, decisions: Sequence[Decision | None], out: Path
    ) -> tuple[list[Library], dict[int, Error]]:
        """Build candidates of a program.

        Parameters
        ----------
        program
            File with the unscheduled tensor program, as TVM's JSON.
        decisions
            What the tuner decided, None being the rule-based schedule.
        out
            Folder for the libraries.

        Returns
        -------
        The libraries, and for the index of every decision that could not be built the kind and message of why. Kinds
        are ``schedule``, ``compile``, ``build crash`` and ``build timeout``.
        """
        count = min(len(self._builders), len(decisions))
        shares = [list(range(first, len(decisions), count)) for first in range(count)]
        with ThreadPoolExecutor(max(count, 1)) as threads:
            built = list(threads.map(partial(self._share, program, decisions, out), self._builders, shares))
        libraries = [library for own, _ in built for library in own]
        return libraries, {index: error for _, errors in built for index, error in errors.items()}

    def _share(
        self,
        program: Path,
        decisions: Sequence[Decision | None],
        out: Path,
        builder: _Builder,
        share: Sequence[int],
        again: bool = False,
    ) -> tuple[list[Library], dict[int, Error]]:
        path = out / f"candidates-{next(self._numbers)}.tar"
        request = (str(program), self._target, self._tuner, [decisions[index] for index in share], str(path))
        try:
            symbols, errors = builder.request(request, SECONDS_PER_CANDIDATE * len(share))
        except _GoneError as gone:
            if len(share) == 1 and (again or not gone.by_signal):
                return [], {share[0]: gone.error}
            again = len(share) == 1  # a signal may come from others, and says little of a candidate the first time
            singles = [self._share(program, decisions, out, builder, [index], again) for index in share]
            libraries = [library for own, _ in singles for library in own]
            return libraries, {index: error for _, errors in singles for index, error in errors.items()}
        functions = [(index, symbol) for index, symbol in zip(share, symbols, strict=True) if symbol]
        failed = {index: tuple(error) for index, error in zip(share, errors, strict=True) if error}
        return ([Library(path, functions)] if functions else []), failed


class _GoneError(Exception):
    """A builder died or was ended; `error` is kind and message, and `by_signal` whether a signal ended it."""

    def __init__(self, *error: str, by_signal: bool = False) -> None:
        super().__init__(": ".join(error))
        self.error: Error = (error[0], error[1])
        self.by_signal = by_signal


class _Builder:
    """One process; it is forked by the first request and again by the first after its death."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._process: Any = None
        self._pipe: Connection | None = None
        self._started = False

    def request(self, request: tuple[Any, ...], seconds: float) -> Any:
        """Return the reply.

        Raises
        ------
        _GoneError
            If there is none within `seconds`, or the process dies.
        """
        from explorer.line.tuning.building import serve

        if self._process is None or not self._process.is_alive():
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            seconds += START_SECONDS * (not self._started)
            self._started = True
        pipe = self._pipe
        assert pipe is not None
        try:
            pipe.send_bytes(json.dumps(request).encode())
            if pipe.poll(seconds):
                return json.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            self._process.join(1)
            code = self._process.exitcode
            self.stop()
            by_signal = code is not None and code < 0
            raise _GoneError("build crash", f"the builder ended with exit code {code}", by_signal=by_signal) from None
        self.stop()  # or its late reply would be taken for the next request's
        raise _GoneError("build timeout", f"not built within {seconds:g} s")

    def stop(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
