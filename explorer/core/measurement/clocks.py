"""Time that this process was running: what it stood still for, stopped or its machine suspended, counts for nothing.

Every duration and every time-out is by clocks that a change of the date does not move. Of these, Linux' monotonic clock
stands while the machine is suspended, and goes on while a process is stopped (SIGSTOP, a debugger, a frozen cgroup):
right after such a process is continued, its time-outs would all fire at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

TICK = 0.25  # seconds between two looks at the clock
STANDSTILL = 1.0  # from which a look that came late tells of one, where the process computed little meanwhile
COMPUTED = 0.5  # share of the time; who computes more is busy, and did not stand still
SLICE = 1.0  # seconds of a wait that are counted at once


class _Watch:
    """Looks at the clock all the time, from when it is first asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stood = 0.0
        self._last, self._computed = time.monotonic(), time.process_time()
        self._thread: threading.Thread | None = None

    def running(self) -> float:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a process that was forked has none
                self._last, self._computed = time.monotonic(), time.process_time()
                self._thread = threading.Thread(target=self._watch, daemon=True, name="clock")
                self._thread.start()
            self._look()
            return self._last - self._stood

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            with self._lock:
                self._look()

    def _look(self) -> None:
        now, computed = time.monotonic(), time.process_time()
        passed = now - self._last
        if passed > STANDSTILL and computed - self._computed < COMPUTED * passed:
            self._stood += passed - TICK
        self._last, self._computed = now, computed


_WATCH = _Watch()


def running() -> float:
    """Return the seconds that this process has been running since some moment; differences of two of them count."""
    return _WATCH.running()


def waits(seconds: float) -> Iterator[float]:
    """Yield for how many seconds to wait next, until so many `seconds` have been waited for in all.

    Whatever is waited for may end any of these waits; a wait that takes longer, as this process stood still, counts for
    what was asked.
    """
    while seconds > 0:
        slice_ = min(SLICE, seconds)
        start = time.monotonic()
        yield slice_
        seconds -= min(slice_, max(time.monotonic() - start, 1e-3))


def suspended() -> float:
    """Return the seconds that this machine was suspended for since its start; 0 where no clock tells."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
