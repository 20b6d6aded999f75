"""Cores → a tracker and server of TVM's own at TCP ports of this machine, as boards have them, for tests.

``python -m tests.boards KEY 0,1`` pins itself to the cores, prints the tracker's port, and ends with standard input.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from explorer.processes import child
from explorer.processes.worker import without_torch

HOST = "127.0.0.1"


@contextlib.contextmanager
def board(key: str, cores: Sequence[int], log: Path) -> Iterator[str]:
    """Run a tracker and a server registered as `key`, pinned to `cores`; give the tracker's ``host:port``."""
    environment = {"TVM_NUM_THREADS": str(len(cores)), "TVM_BIND_THREADS": "0"}
    environment["POCL_MAX_PTHREAD_COUNT"] = str(len(cores))
    process = child.start("tests.boards", key, ",".join(map(str, cores)), log=log, environment=environment)
    assert process.stdout
    try:
        yield f"{HOST}:{int(process.stdout.readline())}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def main(key: str, cores: Sequence[int]) -> None:
    """Serve until standard input closes, or a session dies by a signal, which TVM 0.27 does not tell the client."""
    os.sched_setaffinity(0, cores)
    without_torch()
    from tvm import rpc
    from tvm.rpc.server import PopenRPCServerState
    from tvm.rpc.tracker import PopenTrackerServerState

    threading.excepthook = lambda thread: end()
    first = 20000 + 10 * (os.getpid() % 3000)  # TVM 0.27 does not try the next port where two bind one at once
    tracker = PopenTrackerServerState(HOST, first, first + 5, silent=True)
    PopenRPCServerState(HOST, first + 5, first + 10, tracker_addr=(HOST, tracker.port), key=key, silent=True)
    connection = rpc.connect_tracker(HOST, tracker.port)
    while not connection.summary()["server_info"]:
        time.sleep(0.01)
    connection.close()
    print(tracker.port, flush=True)
    while os.read(0, 1):
        pass
    end()


def end() -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    try:
        main(sys.argv[1], [int(core) for core in sys.argv[2].split(",")])
    except Exception:
        traceback.print_exc()
        end()
