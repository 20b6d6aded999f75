"""Entry of the devices file → what of the device answers, what it says of itself, and what it can do at most."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tvm

from dlas_ops import control as programs
from dlas_ops import gpu_peaks, peaks
from dlas_ops._types import Library, Target
from explorer.core.errors import DeviceError
from explorer.line.device import rpc
from explorer.line.device.control import FILL, GPU_LIBRARY, LIBRARY, Control
from explorer.line.probing import claims, gpus, narrow_types, self_description
from explorer.line.probing.answers import Answers, Peaks
from explorer.line.probing.describe import PATIENCE, likely, of_processor, offered_threads, own_target
from explorer.space.devices import open_to
from explorer.space.gpu_targets import host_of, is_gpu

SESSION_SECONDS = 300
FIRST_UPLOAD, UPLOAD = 1 << 18, 1 << 24  # bytes; the second one only over a connection that is quick
QUICK = 0.05  # seconds of the first upload
READ = 256 << 20  # bytes that are read, or a quarter of the memory that is free: more than caches hold
UNKNOWN_MEMORY = 256 << 20  # bytes taken to be free where that cannot be read
RUNS = {"arithmetic": 20, "memory": 5}  # the best one counts
QUICK_FILL = "tvm.contrib.random.random_fill_for_measure"


def check(tracker: str, key: str, target: Mapping[str, Any] | str, device: str, cores: Sequence[int]) -> dict[str, Any]:
    """Return the `Answers` of a device as a dict; whatever does not answer is a refusal in it.

    Parameters
    ----------
    target
        As the devices file has it.
    cores
        Those that the server is pinned to; none where they are not known.
    """
    answers = Answers(device, tracker, key, open_to=open_to(tracker))
    try:
        rpc.reach(tracker, key)
        answers = replace(answers, tracker=True)
        session = rpc.connect(tracker, key, SESSION_SECONDS, PATIENCE)
    except DeviceError as error:
        return replace(answers, refusal=str(error)).as_dict()
    answers = replace(answers, server=True)
    return _asked(answers, session, target, cores).as_dict()


def _asked(answers: Answers, session: Any, claimed: Mapping[str, Any] | str, cores: Sequence[int]) -> Answers:
    """Ask a server that answers, until something speaks against measuring there."""
    compiled_for, threads = own_target(claimed), offered_threads(session)
    says, failure, _ = self_description.described(session, likely(compiled_for))
    answers = replace(
        answers,
        target=compiled_for,
        threads=threads,
        round_trip_ms=1e3 * rpc.round_trip(session),
        upload_mb_s=_upload_rate(session),
        says=says,
        compiler=not failure,
        refusal=claims.refusal(answers.device, of_processor(claimed), host_of(compiled_for), says),
    )
    if answers.refusal:
        return answers
    if failure:
        return replace(answers, refusal=_without_compiler(answers, failure))
    if is_gpu(claimed):
        gpu, refusal = gpus.asked(session, answers.device, claimed, compiled_for)
        answers = replace(answers, gpu=gpu, refusal=refusal)
        if refusal or gpu is None:
            return answers
        answers = replace(answers, gpu=narrow_types.with_abilities(session, gpu, compiled_for))
    probe = Probe(session, tvm.target.Target(compiled_for), threads)
    # A GPU's processor has no work to bind to cores; where it is the GPU, its threads would be bound to one core.
    answers = _controlled(answers, probe, () if is_gpu(claimed) else cores)
    try:
        if answers.gpu:
            return replace(answers, peaks=probe.measured_gpu(answers.gpu.memory_bytes or UNKNOWN_MEMORY))
        return replace(answers, peaks=probe.measured(says.free_bytes or UNKNOWN_MEMORY))
    except Exception as error:  # a device raises what it likes
        cause = self_description.last_line(error)
        return replace(answers, refusal=f"code for the target of device '{answers.device}' does not run there: {cause}")


def _without_compiler(answers: Answers, failure: str) -> str:
    return (
        f"no library can be linked on device '{answers.device}' ({failure}); install a C compiler there, on Debian "
        "with 'sudo apt install g++', and start its server again"
    )


def _controlled(answers: Answers, probe: Probe, cores: Sequence[int]) -> Answers:
    """Run the control, which a device may lack; see `explorer.line.device.control`."""
    try:
        control = Control(probe.session, probe.loaded(programs.build(probe.host), LIBRARY), probe.threads)
        control.pin(cores)
        if answers.gpu:
            arguments = gpu_peaks.arithmetic(probe.target)
            control.on_gpu(probe.loaded(gpu_peaks.build_beside(probe.target), GPU_LIBRARY), probe.gpu, arguments)
        read = {"arithmetic": control.arithmetic_ms(), "memory": control.memory_ms(), "wake": control.wake_us()}
        state: dict[str, object] = {**read, **control.state(), "peak memory": control.peak_bytes()}
    except Exception as error:  # a device raises what it likes
        return replace(answers, control=self_description.last_line(error))
    del state["time"], state["running_s"]  # are this machine's
    return replace(answers, control="", readings=tuple(name for name, value in state.items() if value is not None))


def _upload_rate(session: Any) -> float:
    """Return how many millions of bytes reach the device in a second, as a library would."""
    size = FIRST_UPLOAD
    seconds = _uploaded(session, size)
    if seconds < QUICK:
        size = UPLOAD
        seconds = _uploaded(session, size)
    return size / seconds / 1e6


def _uploaded(session: Any, size: int) -> float:
    sent = bytearray(os.urandom(size))
    start = time.perf_counter()
    session.upload(sent, "upload")
    seconds = time.perf_counter() - start
    session.remove("upload")
    return seconds


@dataclass(frozen=True)
class Probe:
    """Programs for the target of a device, in a session on it that offers so many threads."""

    session: Any
    target: Target
    threads: int

    @property
    def host(self) -> Target:
        """The target of the device's processor."""
        return self.target.host or self.target

    @property
    def gpu(self) -> Any:
        """The first GPU of the target's kind in the session."""
        return self.session.device(self.target.kind.name)

    def loaded(self, library: Library, name: str) -> Any:
        """Return a library that the device has linked and loaded."""
        with TemporaryDirectory() as folder:
            library.export_library(str(Path(folder) / name))
            return self.session.load_module(rpc.place(self.session, Path(folder) / name))

    def measured(self, free_bytes: int) -> Peaks:
        """Return what the device does at most, on all threads and on one."""
        loaded = self.loaded(peaks.build(self.target), "peaks.tar")
        size, device = min(READ, free_bytes // 4), self.session.cpu()
        found = {}
        for threads in sorted({1, self.threads}):
            self.session.get_function("runtime.config_threadpool")(1, threads)
            arithmetic = self._best(loaded, "arithmetic", peaks.arithmetic(self.target, threads), device)
            memory = self._best(loaded, "memory", peaks.memory(size, threads), device)
            found[threads] = peaks.flop(self.target, threads) / arithmetic / 1e9, size / memory / 1e9
        return Peaks(found[self.threads][0], found[1][0], found[self.threads][1], found[1][1], size)

    def measured_gpu(self, memory_bytes: int) -> Peaks:
        """Return what the GPU of the target does at most."""
        loaded = self.loaded(gpu_peaks.build(self.target), "peaks.tar")
        shapes = gpu_peaks.memory(self.target, min(READ, memory_bytes // 4))
        read = 4 * prod(shapes[0][0])
        arithmetic = self._best(loaded, "arithmetic", gpu_peaks.arithmetic(self.target), self.gpu)
        memory = self._best(loaded, "memory", shapes, self.gpu)
        return Peaks(gpu_peaks.flop(self.target) / arithmetic / 1e9, None, read / memory / 1e9, None, read)

    def _best(self, loaded: Any, name: str, arguments: peaks.Arguments, device: Any) -> float:
        """Return the least seconds of a program's runs."""
        arrays = [tvm.runtime.empty(shape, dtype, device) for shape, dtype in arguments]
        fill = self.session.get_function(QUICK_FILL if name == "memory" else FILL)
        for array in arrays:
            fill(array)  # memory that was never written is one page
        return float(min(loaded.time_evaluator(name, device, number=1, repeat=RUNS[name])(*arrays).results))
