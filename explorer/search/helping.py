"""Several processes on one study: one leads it, and gives trials to the others, which help.

The one that holds the workspace leads: only it asks the sampler and tells outcomes. It listens where the workspace's
lock says, and those that wait for that lock connect to it, once for each trial that they can have under way. Trials and
their outcomes pass through these connections and nothing else: artifacts, measurements and executions go into the store
and the records, which know several processes.

A connection that ends in the middle of a trial gives it back. Who led and ended, however, is succeeded by one of those
that helped.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from explorer.core.configuration import digest
from explorer.core.errors import Failure
from explorer.engines._stages import StageEngine
from explorer.line import trial
from explorer.search.trial_queue import Asked, TrialObserver, Turns
from explorer.space.space import Space
from explorer.workspace.records import Record, Records
from explorer.workspace.store import HOST
from explorer.workspace.workspace import Address, Holder

# What a process that helps says once it can run trials, and of one that it was given: what it knows of a stack that may
# be left out; the outcome with the seconds that it took, and that it can run another one.
READY, KNOWN, OUTCOME = "ready", "known", "outcome"

GONE = (EOFError, OSError, AuthenticationError)  # what a connection raises whose other end is no more


# The kernel asks the other machine for a sign of life after so many silent seconds, so often, and as many times.
KEEP_ALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}


class _Connections:
    """Connections that a thread each serves, and that another one can end.

    To close what another thread reads from, or closes itself, may close a file that was opened meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Connection] = []

    @contextlib.contextmanager
    def served(self, connection: Connection) -> Iterator[None]:
        """Close a connection afterwards."""
        with self._lock:
            self._open.append(connection)
        try:
            _keep_alive(connection)
            yield
        finally:
            with self._lock:
                self._open.remove(connection)
                connection.close()

    def end(self) -> None:
        """Have those who wait for a word from one of the connections see its end."""
        with self._lock:
            for connection in self._open:
                with socket.socket(fileno=os.dup(connection.fileno())) as same, contextlib.suppress(OSError):
                    same.shutdown(socket.SHUT_RDWR)  # which fails where the other end is gone


@contextlib.contextmanager
def led(turns: Turns, study: Mapping[str, Any], anywhere: bool) -> Iterator[Address]:
    """Give trials to whoever connects and has the same `study`; yield the address to connect to.

    Parameters
    ----------
    study
        Its name, and what must stay the same for two runs to be of one study, as plain JSON values.
    anywhere
        Whether to listen to other machines, too.
    """
    connections = _Connections()
    with _listening(anywhere) as (listener, address):
        desk = threading.Thread(target=_admit, args=(listener, connections, turns, study), daemon=True)
        desk.start()
        try:
            yield address
        finally:
            turns.stop()
            connections.end()
            with contextlib.suppress(*GONE):  # to close a listener does not wake the thread that waits for it
                _connected(address, HOST).close()
            desk.join()


@contextlib.contextmanager
def _listening(anywhere: bool) -> Iterator[tuple[Listener, Address]]:
    if anywhere:  # whoever does not know the key is not listened to
        key = secrets.token_hex(32)
        with Listener(("", 0), "AF_INET", authkey=bytes.fromhex(key)) as listener:
            yield listener, Address(HOST, listener.address[1], key)
        return
    # A socket's path may have 107 characters, and a workspace's has more. Nobody else may enter this folder.
    with tempfile.TemporaryDirectory(prefix="dlas-") as folder:
        path = str(Path(folder, "socket"))
        with Listener(path, "AF_UNIX") as listener:
            yield listener, Address(path)


def _connected(address: Address, host: str) -> Connection:
    """Return a connection to a process on `host`; raise one of `GONE` if there is none."""
    if address.port is None:
        return Client(address.socket, "AF_UNIX")
    name = "127.0.0.1" if host == HOST else address.socket
    connection = Client((name, address.port), "AF_INET", authkey=bytes.fromhex(address.key))
    _keep_alive(connection)
    return connection


def _keep_alive(connection: Connection) -> None:
    """Have a connection end, within minutes, if the machine at its other end is lost without a word."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        if same.family == socket.AF_INET:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEP_ALIVE.items():
                same.setsockopt(socket.IPPROTO_TCP, option, value)


def _admit(listener: Listener, connections: _Connections, turns: Turns, study: Mapping[str, Any]) -> None:
    while not turns.stopped:
        with contextlib.suppress(*GONE):
            arguments = (listener.accept(), connections, turns, study)
            threading.Thread(target=_give, args=arguments, daemon=True).start()


def _give(connection: Connection, connections: _Connections, turns: Turns, study: Mapping[str, Any]) -> None:
    """Give trials to one connection until there are none, or it ends."""
    with contextlib.suppress(*GONE), connections.served(connection):
        if digest(connection.recv()) != digest(study):
            connection.send("another study, or this one with other axes or settings")
            return
        connection.send("")
        connection.recv()
        try:
            while (asked := turns.ask(elsewhere=True)) is not None:
                try:
                    outcome, seconds = _run_by(connection, asked, turns)
                except GONE:
                    turns.give_back(asked)
                    return
                turns.tell(asked, outcome, seconds, elsewhere=True)
        except Exception as error:
            turns.fail(error)
            raise
        connection.send(None)


def _run_by(connection: Connection, asked: Asked, turns: Turns) -> tuple[Record | Failure, float]:
    """Have a trial run by the process at the other end; return its outcome and the seconds that it took."""
    screen = turns.study.screen
    connection.send(asked)
    while (word := connection.recv())[0] == KNOWN:
        connection.send(screen and screen.why_not(asked[1], word[1]))
    return word[1], word[2]


@dataclass(frozen=True)
class _Screen:
    """Asks the process that leads why a stack need not be trained."""

    connection: Connection

    def why_not(self, configuration: Any, known: Mapping[str, Any]) -> str | None:
        """Return why not; None if it has to be, or nobody is there to ask."""
        answer: str | None = _hear(self.connection) if _say(self.connection, (KNOWN, known)) else None
        return answer


def _say(connection: Connection, word: Any) -> bool:
    """Send a word; return whether its other end is still there."""
    with contextlib.suppress(*GONE):
        connection.send(word)
        return True
    return False


def _hear(connection: Connection) -> Any:
    """Return the next word, None if the other end is gone."""
    with contextlib.suppress(*GONE):
        return connection.recv()
    return None


def refusal(leader: Holder, study: Mapping[str, Any]) -> str | None:
    """Return what `leader` runs if that is not `study`; "" if it is, None if nobody is there."""
    if leader.address is None:
        return None
    try:
        with _connected(leader.address, leader.host) as connection:
            connection.send(study)
            answer: str = connection.recv()
            return answer
    except GONE:
        return None


def help_out(
    leader: Holder,
    study: Mapping[str, Any],
    space: Space,
    engine: StageEngine,
    records: Records,
    observer: TrialObserver,
) -> int:
    """Run trials of `space` for `leader` until it has no more, or ends; return how many were run."""
    address = leader.address
    if address is None:
        return 0

    connections, stop = _Connections(), threading.Event()

    def work() -> int:
        ended = 0
        try:
            connection = _connected(address, leader.host)
        except GONE:
            return ended
        with connections.served(connection):
            going = _say(connection, study) and _hear(connection) == "" and _say(connection, (READY,))
            screen = _Screen(connection) if space.search.latency_first else None
            while going and (asked := _hear(connection)) is not None:
                number, configuration = asked
                start = time.perf_counter()
                outcome = records.outcome(space.name, number)
                outcome = outcome or trial.run(configuration, space.settings, engine, screen)
                if stop.is_set():
                    break
                if going := _say(connection, (OUTCOME, outcome, time.perf_counter() - start)):
                    observer.ended(number, configuration, outcome)
                    ended += 1
        return ended

    with ThreadPoolExecutor(max_workers=engine.concurrency) as executor:
        workers = [executor.submit(work) for _ in range(engine.concurrency)]
        try:
            return sum(worker.result() for worker in as_completed(workers))
        except BaseException:
            stop.set()
            connections.end()  # threads that wait for a trial get none
            engine.stop()
            raise
