"""Cores → a TVM RPC tracker and server on this machine, both in one process, gone when standard input closes.

``python -m explorer.processes.loopback KEY 0,1`` pins itself to the cores and prints the tracker's port.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dlas_ops.processor.usable_cores import core_count, usable_cores
from explorer.core.errors import DeviceError
from explorer.processes import child
from explorer.processes.worker import without_torch

HOST = "127.0.0.1"
PORTS = (19190, 19990)
STARTS = 10


def own_cores(topology: Path = Path("/sys/devices/system/cpu")) -> tuple[int, ...]:
    """Return the cores that this process may use: first one of each physical core, then their siblings.

    Threads are given cores in this order, and two that share a physical core would compute half as fast. Where its
    quota of processor time is less than all of them, they are as many as that.
    """
    cores, seen = usable_cores(), set[str]()
    first = []
    for core in cores:
        with contextlib.suppress(OSError):
            siblings = (topology / f"cpu{core}" / "topology" / "thread_siblings_list").read_text()
            if siblings in seen:
                continue
            seen.add(siblings)
        first.append(core)
    return (*first, *(core for core in cores if core not in first))[: core_count()]


def cores_of(device: str, cores: Sequence[int] | None) -> tuple[int, ...]:
    """Return the cores of a loopback device, by default `own_cores`.

    Parameters
    ----------
    cores
        Those that its entry names, if it names some.

    Raises
    ------
    DeviceError
        If this process may not use one of them.
    """
    usable = usable_cores()
    if cores and (outside := sorted({*cores} - {*usable})):
        named, allowed = (", ".join(map(str, numbers)) for numbers in (outside, usable))
        raise DeviceError(
            f"device '{device}' has core {named} in its entry, and this process may use {allowed}: change the entry's "
            "cores, or start dlas where it has them"
        )
    return tuple(cores or own_cores())


@contextlib.contextmanager
def server(key: str, cores: Sequence[int], log: Path) -> Iterator[str]:
    """Run a tracker and a server registered as `key`, pinned to `cores`; give the tracker's ``host:port``.

    Raises
    ------
    DeviceError
        If the server does not come up; the message names its log.
    """
    # Workaround: TVM 0.27: by default it takes half the cores that it sees; tests/test_workarounds.py
    environment = {"TVM_NUM_THREADS": str(len(cores)), "TVM_BIND_THREADS": "0"}
    environment["POCL_MAX_PTHREAD_COUNT"] = str(len(cores))  # PoCL starts a thread for every core of the machine
    numbers = ",".join(map(str, cores))
    process = child.start("explorer.processes.loopback", key, numbers, log=log, environment=environment)
    assert process.stdout is not None
    try:
        port = process.stdout.readline().decode().strip()
        if not port:
            raise DeviceError(f"the RPC server on {HOST} for device '{key}' did not start; its log is {log}")
        yield f"{HOST}:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def main(key: str, cores: Sequence[int]) -> None:
    """Serve until standard input closes, then end together with the session that is being served."""
    os.sched_setaffinity(0, cores)
    without_torch()
    # Workaround: TVM 0.27: rpc.Tracker and rpc.Server each start a process of their own that outlives a SIGKILL of its
    # parent; tests/test_workarounds.py
    # These are the objects that they start there.
    from tvm import rpc
    from tvm.rpc.server import PopenRPCServerState
    from tvm.rpc.tracker import PopenTrackerServerState

    # Workaround: TVM 0.27: when a session dies by a signal, the listening thread dies of it and leaves the client
    # waiting on an open socket; tests/test_workarounds.py
    # To end everything tells the client, and the next measurement starts a new server.
    threading.excepthook = lambda thread: _end(thread.exc_value)
    tracker = listening(lambda: PopenTrackerServerState(HOST, *PORTS, silent=True))
    listening(lambda: PopenRPCServerState(HOST, *PORTS, tracker_addr=(HOST, tracker.port), key=key, silent=True))
    connection = rpc.connect_tracker(HOST, tracker.port)
    while not connection.summary()["server_info"]:
        time.sleep(0.01)
    connection.close()
    print(tracker.port, flush=True)
    # Not sys.stdin: the server forks, and the child would wait for ever for the lock that a pending read holds.
    while os.read(0, 1):
        pass
    _end(None)


def listening(start: Callable[[], Any]) -> Any:
    """Call `start` until the server that it returns has a port to itself, and return that server.

    Of two processes that start at once both may bind one port, and one cannot listen at it then.
    """
    # Workaround: TVM 0.27: it takes another port only where the first cannot be bound; tests/test_workarounds.py
    for _ in range(STARTS):
        try:
            return start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(random.uniform(0, 0.1))
    return start()


def _end(cause: BaseException | None) -> None:
    """End this process and the session that it serves, whatever they do."""
    if cause:
        print(f"ended by {type(cause).__name__}: {cause}", file=sys.stderr, flush=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    try:
        main(sys.argv[1], [int(core) for core in sys.argv[2].split(",")])
    except Exception as error:  # such as that the parent is gone; the tracker's threads would go on
        traceback.print_exc()
        _end(error)
