"""Device's tracker address → RPC session on the device; runs in a TVM worker."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tvm import relax, rpc
from tvm.support import cc, tar

from explorer.core.errors import DeviceError, Failure, StageFailed
from explorer.space.gpu_targets import is_gpu

CONNECT_SECONDS = 5.0
ROUND_TRIPS = 5
UNCOMPILED = "CL_BUILD_PROGRAM_FAILURE"
DRIVER_ERROR = r'\berror: (?:\S+:\d+:\d+: )?"?(.{0,200}?)"?\s*$'  # a line of its compiler, without the file's name
IDLE = "runtime.RuntimeEnabled"  # a function of every runtime that does next to nothing


def connect(tracker: str, key: str, seconds: int) -> Any:
    """Return a session on a server registered as `key`, which the server ends after `seconds`.

    Raises
    ------
    DeviceError
        If the tracker does not answer or has no server of that key.
    """
    connection = tracked(tracker, key)
    if not any(server["key"] == f"server:{key}" for server in connection.summary()["server_info"]):
        raise DeviceError(f"the tracker at {tracker} has no server for device '{key}'; {how_to_serve(tracker, key)}")
    # A second try would wait a minute for a tracker that is gone.
    return connection.request(key, session_timeout=seconds, max_retry=1)


def place(session: Any, library: Path, linked: str = "", name: str = "") -> str:
    """Bring a library of object files to the device, which links it; return the file that the session can load.

    Parameters
    ----------
    linked
        On a device that reads this machine's files: the shared library, linked here unless it is there already. To
        upload a network of 100 MB and link it takes ten times as long as a session of samples.
    name
        Of the uploaded file, where that is not the library's: a second one of a name is never loaded in a session.
    """
    if not linked:
        uploaded = name or library.name
        session.upload(str(library), uploaded)
        # A server's only function that links and does not load, which is to be timed alone; it also sends the result.
        session.get_function("tvm.rpc.server.download_linked_module")(uploaded)
        return f"{uploaded}.so"
    shared = Path(linked)
    if not shared.exists():
        with tempfile.TemporaryDirectory(dir=shared.parent) as folder:
            tar.untar(str(library), folder)
            cc.create_shared(f"{folder}.so", [str(file) for file in Path(folder).iterdir()])
            os.replace(f"{folder}.so", shared)
    return str(shared.absolute())


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
        Of kind ``not_applicable`` if the driver of device `key` does not compile a kernel.
    """
    try:
        yield
    except Exception as error:  # over RPC every error is of one kind
        if UNCOMPILED not in str(error):
            raise
        said = re.search(DRIVER_ERROR, str(error), re.MULTILINE)
        cause = said[1] if said else UNCOMPILED
        message = f"the OpenCL driver of device '{key}' does not compile the network's kernels: {cause}"
        raise StageFailed(Failure(stage, "not_applicable", message)) from error


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
    session.get_function("runtime.config_threadpool")(1, threads)
    if (offered := int(session.get_function("runtime.NumThreads")())) != threads:
        message = f"device '{key}' runs {offered} threads where {threads} are asked for: raise its TVM_NUM_THREADS"
        raise StageFailed(Failure(stage, "too_few_threads", message))


def how_to_serve(tracker: str, key: str, threads: int | None = None) -> str:
    """Return the sentence with the commands that bring the device up."""
    host, _, port = tracker.rpartition(":")
    environment = f"TVM_NUM_THREADS={threads} " if threads else ""
    end = int(port) + 1  # TVM's own end of ports is 9199, and a tracker at a port above it does not start
    return (
        f"start the tracker with 'python -m tvm.exec.rpc_tracker --host {host} --port {port} --port-end {end}' and, on "
        "the device, "
        f"'{environment}python -m tvm.exec.rpc_server --tracker {tracker} --key {key} --port 9090 --port-end 9199'"
    )


def tracked(address: str, key: str) -> Any:
    """Return a connection to the tracker at `address`.

    Raises
    ------
    DeviceError
        If it does not answer; `key` is that of the device which is looked for there.
    """
    host, _, port = address.rpartition(":")
    try:
        # rpc.connect_tracker tries a refused connection again for a minute; the answer is wanted now.
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        connection = rpc.connect_tracker(host, int(port))
        # Workaround: TVM 0.27: it sends the length of a message by itself, and the system then holds the message back
        # until the length is acknowledged, for 40 ms; tests/test_workarounds.py
        connection._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    except (OSError, RuntimeError, ValueError) as error:
        raise DeviceError(f"no RPC tracker answers at {address} ({error}); {how_to_serve(address, key)}") from error
