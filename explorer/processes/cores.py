"""Computations share the cores of this machine; a measurement or a long training has them alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from explorer.core import locks


class Cores:
    """Who may use this machine's cores: any number of computations, or a measurement or a long training alone.

    Who waits to be alone goes first: a computation that started meanwhile would only delay it.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._computing = 0
        self._taken = False
        self._waiting = 0

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Hold the cores together with other computations."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken and not self._waiting)
            self._computing += 1
        try:
            yield
        finally:
            with self._changed:
                self._computing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the cores alone."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._taken and not self._computing)
            self._waiting -= 1
            self._taken = True
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


class SharedCores(Cores):
    """Cores that several processes of one machine use, by two files that they all know.

    A process has the first one's lock while it computes or measures. It takes the second one's for a moment before each
    computation, and keeps it while it waits to be alone: so whoever waits to be alone goes first here, too.
    """

    def __init__(self, cores: Path, turn: Path) -> None:
        super().__init__()
        self._cores, self._turn = cores, turn
        self._guard = threading.Lock()
        self._sharing = 0
        self._shared = contextlib.ExitStack()

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Hold the cores together with other computations, of this process and others."""
        with super().computing():
            with locks.held(self._turn, self.stopping, shared=True):
                pass
            with self._guard:
                if not self._sharing:
                    self._shared.enter_context(locks.held(self._cores, self.stopping, shared=True))
                self._sharing += 1
            try:
                yield
            finally:
                with self._guard:
                    self._sharing -= 1
                    if not self._sharing:
                        self._shared.close()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the cores alone."""
        with super().alone(), locks.held(self._turn, self.stopping), locks.held(self._cores, self.stopping):
            yield
