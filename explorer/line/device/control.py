"""A session on a device and the control's library → how fast the device is at the moment, and what its system says.

The programs are `dlas_ops.control`'s. A device that cannot run them is measured all the same, and the user is told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import tvm

from dlas_ops import control, gpu_peaks
from explorer.core.measurement import clocks
from explorer.line.contracts.measure import DeviceState
from explorer.line.device import silence

LIBRARY, GPU_LIBRARY = "control.tar", "gpu_control.tar"
FILL = "tvm.contrib.random.random_fill"
RUNS = {"arithmetic": 3, "memory": 8, "wake": 3}  # per reading: the median counts, of memory the least
AT_ONCE = {"arithmetic": 1, "memory": 1, "wake": 50}  # calls per run
TICKS = 100  # per second, in /proc/stat and /proc/PID/stat of every Linux that Python runs on
# Values of the device's state that are a number in a file of its own: file, and how many of its units are one of ours.
FILES: Mapping[str, tuple[str, float]] = {
    "frequency_mhz": ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1e3),
    "temperature_c": ("/sys/class/thermal/thermal_zone0/temp", 1e3),
    "throttled": ("/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", 1),
}


class Control:
    """The control's programs in a session, on as many threads as the session computes on.

    Parameters
    ----------
    programs
        The module of `dlas_ops.control`, loaded in the session.

    Raises
    ------
    Exception
        Of any kind, whatever the device raises: it may lack memory, a compiler or the C library's functions.
    """

    def __init__(self, session: Any, programs: Any, threads: int) -> None:
        self._device, self._threads = session.cpu(), threads
        self._programs = programs
        self._fill = session.get_function(FILL)
        self._timers: dict[str, Any] = {}
        self._arrays: dict[str, list[Any]] = {}
        for name, arguments in control.arguments(threads).items():
            self._arrays[name] = [tvm.runtime.empty(shape, dtype, self._device) for shape, dtype in arguments]
            for array in self._arrays[name]:
                if array.dtype == "float32":
                    self._fill(array)  # memory that was never written is one page
            self._timers[name] = self._programs.time_evaluator(
                name, self._device, number=AT_ONCE[name], repeat=RUNS[name]
            )
            self._timers[name](*self._arrays[name])

    def on_gpu(self, programs: Any, gpu: Any, arguments: gpu_peaks.Arguments) -> None:
        """Do the arithmetic on the session's GPU from now on; see `__init__` for errors.

        Parameters
        ----------
        programs
            The module of `dlas_ops.gpu_peaks.build_beside`, loaded in the session.
        arguments
            Shape and dtype of those of its ``arithmetic``.
        """
        self._arrays["arithmetic"] = [tvm.runtime.empty(shape, dtype, gpu) for shape, dtype in arguments]
        for array in self._arrays["arithmetic"]:
            self._fill(array)
        number, repeat = AT_ONCE["arithmetic"], RUNS["arithmetic"]
        self._timers["arithmetic"] = programs.time_evaluator("arithmetic", gpu, number=number, repeat=repeat)
        self._timed("arithmetic")

    def arithmetic_ms(self) -> float:
        """Return what a fixed number of multiplications takes now."""
        return 1e3 * float(np.median(self._timed("arithmetic")))

    def memory_ms(self) -> float:
        """Return what a fixed number of bytes takes now; the caches hold them afterwards, and not the network's."""
        return 1e3 * min(self._timed("memory"))

    def wake_us(self) -> float:
        """Return what the threads take to begin and end a program without work."""
        return 1e6 * float(np.median(self._timed("wake")))

    def pin(self, cores: Sequence[int]) -> None:
        """Give each thread a core of its own, in the order of `cores`, where there are as many."""
        if len(cores) < self._threads or max(cores) > 63:
            return
        masks = np.array([1 << core for core in cores[: self._threads]], np.uint64)
        done = tvm.runtime.empty((self._threads,), "int32", self._device)
        self._programs["pin"](tvm.runtime.tensor(masks, self._device), done)

    def state(self) -> DeviceState:
        """Return the device's state."""
        cores = self._numbers("/proc/stat")  # user, nice, system, idle, iowait, irq, softirq, steal, … of all cores
        own = self._numbers("/proc/self/stat", after=")")
        files = {name: self._first(path, units) for name, (path, units) in FILES.items()}
        return {
            "time": time.time(),
            "running_s": clocks.running(),
            "load": self._first("/proc/loadavg"),
            "busy_s": (sum(cores[:3]) + sum(cores[5:7])) / TICKS if len(cores) > 7 else None,
            "steal_s": cores[7] / TICKS if len(cores) > 7 else None,
            "own_s": sum(own[10:12]) / TICKS if len(own) > 11 else None,
            "frequency_mhz": files["frequency_mhz"],
            "temperature_c": files["temperature_c"],
            "throttled": files["throttled"],
        }

    def peak_bytes(self) -> int | None:
        """Return the most memory that the session's process has held, TVM's and its programs' included."""
        lines = self._contents("/proc/self/status").splitlines()
        kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        return 1024 * int(kilobytes) if kilobytes else None

    def _timed(self, name: str) -> list[float]:
        return [float(seconds) for seconds in self._timers[name](*self._arrays[name]).results]

    def _first(self, path: str, units: float = 1.0) -> float | None:
        numbers = self._numbers(path)
        return numbers[0] / units if numbers else None

    def _numbers(self, path: str, after: str = "") -> list[float]:
        """Return the numbers in the first line of a file of the device; none if it cannot be read."""
        numbers = []
        line = self._contents(path).partition("\n")[0]
        for word in (line.rpartition(after)[2] if after else line).split():
            with suppress(ValueError):
                numbers.append(float(word))
        return numbers

    def _contents(self, path: str) -> str:
        with silence.at_most(silence.LEAST):
            return contents(self._programs, self._device, path)


def contents(programs: Any, device: Any, path: str) -> str:
    """Return the beginning of a file of a device; nothing if it cannot be read.

    Parameters
    ----------
    programs
        A module with the program ``contents`` of `dlas_ops.control`, loaded in the session of `device`.
    """
    name = np.frombuffer(path.encode() + b"\0", np.uint8)
    text = tvm.runtime.empty((control.TEXT,), "uint8", device)
    length = tvm.runtime.empty((1,), "int64", device)
    programs["contents"](tvm.runtime.tensor(name, device), text, length)
    return bytes(text.numpy()[: max(0, int(length.numpy()[0]))]).decode(errors="replace")


def taken(before: DeviceState, after: DeviceState, threads: int) -> float | None:
    """Return the processor time that a session's threads lacked and others had, in cores; None where nobody tells.

    TVM's threads spin between their tasks: undisturbed, each has a core's whole time. Another process on a core that
    they do not need takes nothing.
    """
    seconds = after["running_s"] - before["running_s"]  # the date may be set meanwhile
    own, busy, stolen = (_passed(before[name], after[name]) for name in ("own_s", "busy_s", "steal_s"))
    unknown = not after["own_s"]  # who counts none of a session's time, such as an emulator, tells nothing
    if own is None or busy is None or stolen is None or unknown or not seconds:
        return None
    return max(0.0, min(busy - own + stolen, threads * seconds - own) / seconds)


def _passed(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
