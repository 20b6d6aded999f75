"""A call that waits for a device, and seconds → the end of this process if the device says nothing for so long.

TVM waits without end for a device that hangs, in calls that nothing interrupts. So a thread watches the one that calls,
and gives up in its place: the explorer hears that the device is gone, and replaces this process.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from explorer.core.measurement import clocks
from explorer.line.execution import Execution, current

LEAST = 15.0  # seconds of silence that no device is given up for, however little it has to do
LOOK = 1.0  # seconds between two looks of the thread that watches
SLOWEST_LINK = 5e4  # bytes per second that files reach a device in at least, and are linked there
SLOWEST_DEVICE = 1e7  # multiply-accumulates per second that a device does at least, with one thread and no vectors
TIMES = 10  # how much longer than before the same work may take

T = TypeVar("T")


class _Call(NamedTuple):
    execution: Execution
    begun: float
    end: float
    seconds: float


class _Watch:
    """Gives up the execution whose call of a device has lasted too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[_Call] = []  # under way, each within the one before
        self._thread: threading.Thread | None = None

    def begin(self, call: _Call) -> None:
        with self._lock:
            self._calls.append(call)
            if self._thread is None or not self._thread.is_alive():  # a process that was forked has none
                self._thread = threading.Thread(target=self._watch, daemon=True, name="silence")
                self._thread.start()

    def end(self, now: float) -> None:
        """Forget the innermost call; its time is none of the call's that it lies within."""
        with self._lock:
            ended = self._calls.pop()
            if self._calls:
                outer = self._calls[-1]
                self._calls[-1] = outer._replace(end=outer.end + now - ended.begun)

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK)
            with self._lock:
                if self._calls and clocks.running() > self._calls[-1].end:
                    innermost = self._calls[-1]
                    innermost.execution.give_up(f"the device has said nothing for {innermost.seconds:.3g} s")


_WATCH = _Watch()


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Give a device so many seconds for what is called within, beside what has a limit of its own there."""
    begun = clocks.running()
    _WATCH.begin(_Call(current(), begun, begun + seconds, seconds))
    try:
        yield
    finally:
        _WATCH.end(clocks.running())


def limited(call: Callable[[], T], first: float) -> Callable[[], T]:
    """Return `call` of a device, which is given `first` seconds at the first time and then by the longest so far."""
    longest: float | None = None

    def within_limit() -> T:
        nonlocal longest
        start = clocks.running()
        with at_most(first if longest is None else of_known(longest)):
            result = call()
        longest = max(longest or 0.0, clocks.running() - start)
        return result

    return within_limit


def of_bytes(size: int) -> float:
    """Return the seconds that a device is given to receive so many bytes, and to link them."""
    return LEAST + size / SLOWEST_LINK


def of_run(macs: int, runs: int = 1) -> float:
    """Return the seconds that a device is given for so many first runs of a network of so many multiply-accumulates."""
    return LEAST + runs * macs / SLOWEST_DEVICE


def of_known(seconds: float) -> float:
    """Return the seconds that a device is given for what took so many before."""
    return LEAST + TIMES * seconds
