"""Cores → a TVM RPC server on this machine behind a Unix socket, gone when standard input closes.

``python -m explorer.processes.loopback FOLDER 0,1`` pins itself to the cores, listens in the folder, which its user
alone may enter, and prints a line. No port is opened: TVM's server runs the code of whoever reaches it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from dlas_ops.processor.usable_cores import core_count, usable_cores
from explorer.core.errors import DeviceError
from explorer.line.channels import local
from explorer.processes import child, temporary
from explorer.processes.worker import without_torch
from explorer.space.devices import HERE

PREFIX = "dlas-device-"  # of the folder's name
SOCKET, SESSION = "socket", "session-"  # in the folder; what the folder of a session's files there begins with
STARTING_SECONDS = 60.0  # in which a server that has its socket comes to listen
WAITING = 128  # clients that may wait for their turn
CLIENT_SECONDS = 15.0  # until a client whose turn it is, and which says nothing, is given up


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
def server(
    key: str, cores: Sequence[int], log: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """Run a server for the device `key`, pinned to `cores`; give its address for `explorer.line.device.rpc.connect`.

    Parameters
    ----------
    settings
        Variables that it has beside, or in place of, those that are set here.

    Raises
    ------
    DeviceError
        If the server does not come up; the message names its log.
    """
    # Workaround: TVM 0.27: by default it takes half the cores that it sees; tests/workarounds
    environment = {"TVM_NUM_THREADS": str(len(cores)), "TVM_BIND_THREADS": "0"}
    environment["POCL_MAX_PTHREAD_COUNT"] = str(len(cores))  # PoCL starts a thread for every core of the machine
    environment |= settings
    numbers = ",".join(map(str, cores))
    place = temporary.folder()
    for left in abandoned(Path(place)):
        shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=place)  # that its user alone may enter
    process = child.start("explorer.processes.loopback", folder, numbers, log=log, environment=environment)
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise DeviceError(f"the RPC server on this machine for device '{key}' did not start; its log is {log}")
        yield f"{HERE}{Path(folder, SOCKET)}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def abandoned(place: Path) -> Iterator[Path]:
    """Yield this user's folders of servers that nobody listens for any more.

    A server removes its own when its explorer ends, however that ends, unless both are killed at once, as batch systems
    do; libraries of sessions lie there.
    """
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            status = folder.stat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > STARTING_SECONDS:
                try:
                    with local.short_path(folder / SOCKET) as path:
                        client.connect(path)
                except ConnectionRefusedError:
                    yield folder


def main(folder: Path, cores: Sequence[int]) -> None:
    """Serve until standard input closes, then end together with the session that is being served."""
    os.sched_setaffinity(0, cores)
    without_torch()
    import tvm.rpc.server  # noqa: F401  each session is a fork, and has it

    with socket.socket(socket.AF_UNIX) as listener:
        with local.short_path(folder / SOCKET) as path:
            listener.bind(path)
        listener.listen(WAITING)
        print("listens", flush=True)
        os.dup2(2, 1)  # whatever networks print goes to the log
        gc.collect()
        gc.freeze()  # or the collections of each session would copy every page
        while True:
            _ready(listener.fileno(), folder)
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):  # of a client that is gone
                if local.is_own(connection):
                    _serve(connection, listener, folder)


def _serve(connection: socket.socket, listener: socket.socket, folder: Path) -> None:
    """Serve a client whose turn it is, in a process of its own."""
    if (asked := _asked(connection)) is None:
        return
    seconds, read, write = asked
    work = tempfile.mkdtemp(prefix=SESSION, dir=folder)
    if not (session := os.fork()):
        listener.close()  # it ends with this process, and not with its session
        _session(read, write, work)
    os.close(read)
    with os.fdopen(os.pidfd_open(session), "rb") as end, os.fdopen(write, "wb", buffering=0) as answers:
        if not _ready(end.fileno(), folder, seconds):
            os.kill(session, signal.SIGKILL)
            answers.write(_expired(seconds))
        if code := os.waitstatus_to_exitcode(os.waitpid(session, 0)[1]):
            print(f"a session ended with exit code {code}", file=sys.stderr, flush=True)
    shutil.rmtree(work, ignore_errors=True)


def _asked(connection: socket.socket) -> tuple[int, int, int] | None:
    """Return for how many seconds a client asks, and the pipes of its requests and of answers; None if it is gone."""
    connection.sendall(local.TURN)
    connection.settimeout(CLIENT_SECONDS)
    try:
        seconds = connection.recv(local.SECONDS.size)
        _, pipes, *_ = socket.recv_fds(connection, 1, 2) if seconds else (b"", [])
    except TimeoutError:
        return None
    if len(pipes) != 2:
        return None
    return local.SECONDS.unpack(seconds)[0], *pipes


def _session(read: int, write: int, work: str) -> NoReturn:
    """Answer the requests of one client until it closes its pipe."""
    code = 1
    try:
        import tvm_ffi
        from tvm.rpc import _ffi_api, server
        from tvm.support import utils

        files = utils.tempdir(f"{work}/files")
        os.chdir(files.path)
        server.logger.setLevel("ERROR")
        server._server_env(None, files)
        send = tvm_ffi.convert(lambda answer: os.write(write, answer))
        receive = tvm_ffi.convert(lambda size: os.read(read, size))
        _ffi_api.ServerLoop(send, receive)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _expired(seconds: int) -> bytes:
    """Return TVM's answer that a session has taken longer than it may."""
    from tvm.rpc import _ffi_api

    ours, theirs = socket.socketpair()  # TVM answers through a socket only
    with ours, theirs:
        _ffi_api.ReturnException(theirs.fileno(), f"RPCSessionTimeoutError: the session's {seconds} s are over")
        return ours.recv(1 << 16)


def _ready(descriptor: int, folder: Path, seconds: float = 0) -> bool:
    """Wait until a descriptor is ready, for so many seconds if any; end if standard input closes meanwhile."""
    waiting = select.poll()
    for each in (0, descriptor):
        waiting.register(each, select.POLLIN)
    ready = {each for each, _ in waiting.poll(1000 * seconds or None)}
    # Not sys.stdin: a fork would wait for ever for the lock that a pending read holds.
    if 0 in ready and not os.read(0, 1):
        _end(None, folder)
    return descriptor in ready


def _end(cause: BaseException | None, folder: Path) -> None:
    """End this process and the session that it serves, whatever they do."""
    if cause:
        print(f"ended by {type(cause).__name__}: {cause}", file=sys.stderr, flush=True)
    for work in folder.glob(f"{SESSION}*"):
        shutil.rmtree(work, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / SOCKET).unlink()
        folder.rmdir()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), [int(core) for core in sys.argv[2].split(",")])
    except Exception as error:  # such as that the parent is gone
        traceback.print_exc()
        _end(error, Path(sys.argv[1]))
