"""A module to run → a process forked off one that has imported its libraries: it starts in an instant.

Torch, and what exports its networks, take 10 s of processor time to import, TVM takes 2 s; a small study takes less. In
all else a forked process is as ``python -m module`` is: nothing was computed in the one that it comes from, which has a
single thread. ``python -m tests.forks LIBRARY FOLDER OWNER`` is that one; it ends with its owner, a run of the tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import psutil
import pytest

from explorer.processes import child
from tests import ROOT

PLACE = "DLAS_TESTS_FORKS"  # variable: the folder of the sockets and the number of the process that they end with
START = child.start  # as it is without forks
MESSAGE = 1 << 20
KILLED = (BrokenPipeError, ConnectionResetError)  # who asked: before an answer was sent, before it was read
AFTER_FORKS = ("jemalloc_bg_thd",)  # threads of libraries that start them again in a fork

# Library → modules to import, beside those of the stages that run in its workers: what most of these import later.
IMPORTED: Mapping[str, tuple[str, ...]] = {
    "torch": (
        "torch",
        "torchvision",
        "torch_pruning",
        "sklearn.datasets",
        "sklearn.model_selection",
        "onnx",
        "onnxscript",
        "torch.onnx",
    ),
    "tvm": (
        "tvm",
        "tvm.contrib.tvmjs",
        "tvm.rpc.server",
        "tvm.rpc.tracker",
        "tvm.relax.frontend.onnx",
        "explorer.line.device.rpc",
        "explorer.line.probing.answers",
        "explorer.line.probing.claims",
        "explorer.line.probing.gpus",
        "dlas_ops.compiler",
        "dlas_ops.onnx.image_axis",
        "numpy.ma",
    ),
}


_STARTED: list[tuple[str, Forked]] = []  # of this process, with their modules


class Forked:
    """What the explorer uses of a `subprocess.Popen`, of a process that another one has forked."""

    def __init__(self, connection: socket.socket, stdin: int, stdout: int) -> None:
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self.pid = int(connection.recv(MESSAGE))
        self.returncode: int | None = None
        self._connection = connection
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        with self._reading:
            if self.returncode is None:
                waiting = select.poll()  # `select.select` takes no descriptor above 1023
                waiting.register(self._connection, select.POLLIN)
                if waiting.poll(0):
                    self._read()
            return self.returncode

    def wait(self) -> int:
        with self._reading:
            if self.returncode is None:
                self._read()
            assert self.returncode is not None
            return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> tuple[bytes, None]:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        with self.stdout:
            rest = self.stdout.read()
        self.wait()
        return rest, None

    def _read(self) -> None:
        self.returncode = int(self._connection.recv(MESSAGE) or -signal.SIGKILL)  # nothing: the run of the tests ends
        self._connection.close()


@contextlib.contextmanager
def used(folder: Path | None = None, owner: int | None = None) -> Iterator[None]:
    """Have the processes of this one, and of those that it starts, forked.

    Parameters
    ----------
    folder
        For the sockets, with a short name; that of the process which started this one unless given.
    owner
        The process that those which fork end with; this one unless given.
    """
    with pytest.MonkeyPatch.context() as patch:
        if folder is not None:
            patch.setenv(PLACE, f"{folder} {owner or os.getpid()}")
        patch.setattr(child, "start", start)
        yield


def start(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Fork a process as `explorer.processes.child.start` starts one."""
    library = "torch" if arguments == ("torch",) else "tvm"
    request = {
        "module": module,
        "arguments": arguments,
        "environment": {**os.environ, **environment},
        "folder": str(folder or Path.cwd()),
    }
    connection = _connected(library)
    (its_stdin, stdin), (stdout, its_stdout) = os.pipe(), os.pipe()
    with log.open("ab") as stderr:
        socket.send_fds(connection, [json.dumps(request).encode()], [its_stdin, its_stdout, stderr.fileno()])
    os.close(its_stdin)
    os.close(its_stdout)
    forked = Forked(connection, stdin, stdout)
    _STARTED.append((module, forked))
    return cast("subprocess.Popen[bytes]", forked)


def warm(library: str) -> None:
    """Return once the process that forks for `library` has imported it."""
    _connected(library).close()


def imported(path: Path) -> subprocess.CompletedProcess[str]:
    """Import a network into TVM as `explorer.line.training.checks.imported` does, in a forked process."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "errors")
        process = start("dlas_ops.onnx.importable", str(path), log=log, environment={})
        output, _ = process.communicate()
        return subprocess.CompletedProcess([], process.returncode, output.decode(), log.read_text())


def running(module: str) -> list[psutil.Process]:
    """Return the processes of `module` that this one had forked and that have not ended."""
    return [psutil.Process(forked.pid) for each, forked in _STARTED if each == module and forked.poll() is None]


def _connected(library: str) -> socket.socket:
    """Return a connection to the process that forks for `library`; the first one that asks starts it."""
    folder, owner = os.environ[PLACE].rsplit(" ", 1)
    place = Path(folder, library)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            with place.with_suffix(".log").open("w") as log:
                forking = subprocess.Popen(
                    [sys.executable, "-m", "tests.forks", library, folder, owner],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=ROOT,
                    # The library of linear algebra would start threads when it is imported, which no fork has.
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                    start_new_session=True,
                )
            assert forking.stdout
            assert forking.stdout.read() == b"ready", place.with_suffix(".log").read_text()
    connection.connect(str(place))
    return connection


def _import(library: str) -> None:
    from explorer.core import plugins
    from explorer.processes.worker import without_torch

    if library == "tvm":
        without_torch()
    stages = [name for name in plugins.names("stage") if plugins.literal("stage", name, "WORKER") == library]
    for module in (*IMPORTED[library], *(f"explorer.line.stages.{name}" for name in stages)):
        importlib.import_module(module)
    if library == "torch":
        import torch

        from explorer.line.training import checks, onnx_export

        checks.imported = imported

        sys.modules["tqdm"].tqdm.monitor_interval = 0  # it would start a thread

        with tempfile.TemporaryDirectory() as folder:  # the first export of a process prepares tables for seconds
            onnx_export.export(torch.nn.Linear(1, 1), torch.zeros(1, 1), Path(folder, "network.onnx"))


def _serve(library: str, place: Path, owner: int) -> None:
    """Fork until the process `owner` ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import(library)
    gc.collect()
    gc.freeze()  # or the children's collections would copy every page
    threads = [Path(thread, "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
    assert len([name for name in threads if name not in AFTER_FORKS]) == 1, f"forks would lack some of {threads}"
    ended, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(place))
    listening.listen(64)
    os.write(1, b"ready")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    connections: dict[int, socket.socket] = {}
    end = os.pidfd_open(owner)
    while end not in (ready := select.select([listening.fileno(), ended, end], [], [])[0]):
        if ended in ready:
            os.read(ended, MESSAGE)
            _tell_ends(connections)
        if listening.fileno() in ready:
            connection, _ = listening.accept()
            message, pipes, *_ = socket.recv_fds(connection, MESSAGE, 3)
            if not message:  # killed before it asked
                continue
            if not (process := os.fork()):
                for each in (listening, connection, *connections.values()):
                    each.close()
                for descriptor in (ended, woken, end):
                    os.close(descriptor)
                _run(json.loads(message), pipes)
            for pipe in pipes:
                os.close(pipe)
            with contextlib.suppress(*KILLED):
                connection.send(str(process).encode())
            connections[process] = connection


def _tell_ends(connections: dict[int, socket.socket]) -> None:
    """Tell those who asked for the processes that have ended how they did."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            process, status = found
            with contextlib.suppress(*KILLED), connections.pop(process) as connection:
                connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _run(request: Mapping[str, Any], pipes: list[int]) -> NoReturn:
    """Become the process that is asked for."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        for number, pipe in enumerate(pipes):
            os.dup2(pipe, number)
            os.close(pipe)
        module = request["module"]
        sys.path[:1] = []  # as with -P
        sys.path.append(request["folder"])  # where tests have modules of their own run
        sys.argv = [module, *request["arguments"]]
        sys.modules.pop(module, None)
        if torch := sys.modules.get("torch"):  # which has read the variable
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2], sys.argv[1]), int(sys.argv[3]))
