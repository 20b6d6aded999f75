"""Computations share the cores of this machine; a measurement or a long training has them alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Cores:
    """The cores of this machine: for any number of computations, or for one measurement or long training alone.

    Whatever waits to be alone goes first: a computation that started meanwhile would only delay it.
    """

    def __init__(self) -> None:
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
