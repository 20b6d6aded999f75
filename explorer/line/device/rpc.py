"""Device's tracker address → RPC session on the device; runs in a TVM worker."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tvm import relax, rpc
from tvm.support import cc, tar

from explorer.core.errors import DeviceError, Failure, StageFailed
from explorer.core.measurement import clocks
from explorer.line.channels import local, pipes, tunnel
from explorer.line.device import silence
from explorer.line.device.tracker import Server, Tracker
from explorer.line.execution import current
from explorer.space.devices import THROUGH
from explorer.space.gpu_targets import is_gpu

PATIENCE = 300.0  # seconds that a measurement waits for its turn on a device that others measure on as well
SERVER_SECONDS = 15.0  # until a server that says nothing is given up; it starts a process for the session
# That a server of the explorer's own is waited for: it serves nobody else, and ends a session whose client is gone.
OWN_PATIENCE = 15.0
ROUND_TRIPS = 5
UNCOMPILED = "CL_BUILD_PROGRAM_FAILURE"
DRIVER_ERROR = r'\berror: (?:\S+:\d+:\d+: )?"?(.{0,200}?)"?\s*$'  # a line of its compiler, without the file's name
# What OpenCL says of a kernel that it does not launch, such as one that takes more registers than a work-group has.
UNLAUNCHED = r"CL_INVALID_WORK_GROUP_SIZE|CL_OUT_OF_RESOURCES"
IDLE = "runtime.RuntimeEnabled"  # a function of every runtime that does next to nothing


def connect(tracker: str, key: str, seconds: int, patience: float = PATIENCE) -> Any:
    """Return a session on a server registered as `key`, which the server ends after `seconds`.

    Parameters
    ----------
    tracker
        A device's `explorer.space.devices.Device.address`, or the address of a server that the explorer runs here.
    patience
        Seconds to wait while the device serves others.

    Raises
    ------
    DeviceError
        If the tracker does not answer, has no server of that key, or has none that is free or answers.
    """
    if local.is_local(tracker):
        granted = local.granted(tracker, key, seconds, min(patience, OWN_PATIENCE))
        answer = _in_time(lambda: pipes.session(granted, "hand_over"))
        subject, advice = f"the server of device '{key}' at {tracker} does not answer", ""
    else:
        connection = Tracker(tracker, key)
        try:
            server = connection.granted(patience)
        finally:
            connection.close()
        answer = _in_time(lambda: _session(server, tracker, seconds))
        which = f"{server.host}:{server.port} as the server of device '{key}'"
        subject = f"the tracker at {tracker} names {which}, which does not answer"
        advice = "; start the server again, at an address that this machine reaches"
    if isinstance(answer, Exception):
        cause = (str(answer).strip() or type(answer).__name__).splitlines()[-1].strip()[:200]
        raise DeviceError(f"{subject} ({cause}){advice}") from answer
    known = weakref.ref(answer)  # it ends with the last name for it, and a server serves no other one before
    current().device_is_gone = lambda: (asked := known()) is not None and not answers(asked)
    return answer


def reach(tracker: str, key: str) -> None:
    """Raise DeviceError if no tracker answers at an address; see `connect`."""
    (local.connected if local.is_local(tracker) else Tracker)(tracker, key).close()


def _session(server: Server, tracker: str, seconds: int) -> Any:
    """Return a session on a server that a tracker has granted."""
    if not (destination := tracker.partition(THROUGH)[2]):
        return rpc.connect(server.host, server.port, server.match, session_timeout=seconds)
    connection = tunnel.through(destination).connection(server.host, server.port)
    try:
        pipes.greet(connection.socket, server.match, seconds)
    except OSError as error:
        raise ConnectionError(connection.refusal() or error) from error
    return pipes.session(connection.socket, "relay")


def answers(session: Any, seconds: float = SERVER_SECONDS) -> bool:
    """Tell whether the device at the other end of a session answers within so many seconds."""
    answered: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> None:
        try:
            session.get_function(IDLE)("llvm")
        except Exception:  # of TVM's own kinds
            answered.put(False)
        else:
            answered.put(True)

    threading.Thread(target=ask, daemon=True).start()  # a server that hangs must not keep the process
    try:
        return answered.get(timeout=seconds)
    except queue.Empty:
        return False


def _in_time(ask: Callable[[], Any]) -> Any:
    """Return the session that a server gives, or the error; it may be gone or hang."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # of TVM's own kinds
            answers.put(error)

    # TVM waits without end for a server that hangs; a thread that does so too must not keep the process.
    threading.Thread(target=put, daemon=True).start()
    for wait in clocks.waits(SERVER_SECONDS):
        with contextlib.suppress(queue.Empty):
            return answers.get(timeout=wait)
    return TimeoutError(f"no answer for {SERVER_SECONDS:g} s")


def place(session: Any, library: Path, linked: str = "", name: str = "") -> str:
    """Bring a library of object files to the device, which links it; return the file that the session can load.

    A shared library is linked already.

    Parameters
    ----------
    linked
        On a device that reads this machine's files: the shared library, linked here unless it is there already. To
        upload a network of 100 MB and link it takes ten times as long as a session of samples.
    name
        Of the uploaded file, where that is not the library's: a second one of a name is never loaded in a session.
    """
    is_shared = library.suffix == ".so"
    if not linked:
        uploaded = name or library.name
        with silence.at_most(silence.of_bytes(library.stat().st_size)):
            session.upload(str(library), uploaded)
            if is_shared:
                return uploaded
            # A server's only function that links and does not load, which is to be timed alone; it also sends the
            # result.
            session.get_function("tvm.rpc.server.download_linked_module")(uploaded)
        return f"{uploaded}.so"
    shared = library if is_shared else Path(linked)
    if not shared.exists():
        link(library, shared)
    return str(shared.absolute())


def link(library: Path, shared: Path) -> None:
    """Link a library of object files on this machine."""
    with tempfile.TemporaryDirectory(dir=shared.parent) as folder:
        tar.untar(str(library), folder)
        cc.create_shared(f"{folder}.so", [str(file) for file in Path(folder).iterdir()])
        os.replace(f"{folder}.so", shared)


def device(session: Any, target: Mapping[str, Any]) -> Any:
    """Return the device of a session that runs code for `target`: its processor, or its first GPU of that kind."""
    return session.device(str(target["kind"])) if is_gpu(target) else session.cpu()


def machine(session: Any, library: str, target: Mapping[str, Any]) -> Any:
    """Load a network's library, a file that `place` returned; return its virtual machine once all of it is there.

    Inputs lie on the session's `device` for `target`, outputs in the memory of its processor. So the processor's clock
    tells what the network takes: it has ended when its function returns.
    """
    loaded, runs_on = session.load_module(library), device(session, target)
    if not is_gpu(target):
        return relax.VirtualMachine(loaded, runs_on)
    network = relax.VirtualMachine(loaded, [runs_on, session.cpu()])
    runs_on.sync()
    return network


@contextlib.contextmanager
def compiling(stage: str, key: str) -> Iterator[None]:
    """Make what a GPU's driver says against a kernel, which it compiles at its first run, a failure in one sentence.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if the driver of device `key` does not compile a kernel, or does not launch it.
    """
    try:
        yield
    except Exception as error:  # over RPC every error is of one kind
        if not (against := refused(str(error))):
            raise
        message = f"the OpenCL driver of device '{key}' does not {against}"
        raise StageFailed(Failure(stage, "not_applicable", message)) from error


def refused(error: str) -> str:
    """Return what a driver of OpenCL does not do, and why, as the end of a sentence; "" for any other error."""
    if UNCOMPILED in error:
        said = re.search(DRIVER_ERROR, error, re.MULTILINE)
        return f"compile the network's kernels: {said[1] if said else UNCOMPILED}"
    if code := re.search(UNLAUNCHED, error):
        return f"launch the network's kernels ({code[0]}): a work-group takes more registers or memory than it has"
    return ""


def round_trip(session: Any) -> float:
    """Return the seconds that a call of a function on the device takes at least which has nothing to do."""
    call = session.get_function(IDLE)
    seconds = []
    for _ in range(ROUND_TRIPS):
        start = time.perf_counter()
        call("llvm")
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def set_threads(session: Any, threads: int, stage: str, key: str) -> None:
    """Make the device compute on as many threads as `stage` asks for.

    Raises
    ------
    StageFailed
        If device `key` has fewer.
    """
    with silence.at_most(silence.LEAST):
        session.get_function("runtime.config_threadpool")(1, threads)
        offered = int(session.get_function("runtime.NumThreads")())
    if offered != threads:
        message = f"device '{key}' runs {offered} threads where {threads} are asked for: raise its TVM_NUM_THREADS"
        raise StageFailed(Failure(stage, "too_few_threads", message))
