"""Several processes of a machine on one study: one leads it, and gives trials to the others, which help.

The one that holds the workspace leads: only it asks the sampler and tells outcomes. It listens on a socket, whose
address stands in the workspace's lock, and those that wait for that lock connect to it, once for each trial that they
can have under way. Trials and their outcomes pass through these connections and nothing else: artifacts, measurements
and executions go into the store and the records, which know several processes.

A connection that ends in the middle of a trial gives it back. Who led and ended, however, is succeeded by one of those
that helped.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from explorer import trial
from explorer.configuration import digest
from explorer.engines._stages import StageEngine
from explorer.errors import Failure
from explorer.records import Record, Records
from explorer.space import Space
from explorer.turns import Asked, TrialObserver, Turns

# What a process that helps says once it can run trials, and of one that it was given: what it knows of a stack that may
# be left out; the outcome with the seconds that it took, and that it can run another one.
READY, KNOWN, OUTCOME = "ready", "known", "outcome"

GONE = (EOFError, OSError)  # what a connection raises whose other end is no more


@contextlib.contextmanager
def led(turns: Turns, study: Mapping[str, Any]) -> Iterator[str]:
    """Give trials to whoever connects and has the same `study`; yield the address to connect to.

    Parameters
    ----------
    study
        Its name, and what must stay the same for two runs to be of one study, as plain JSON values.
    """
    # A socket's path may have 107 characters, and a workspace's has more. Nobody else may enter this folder.
    connections: list[Connection] = []
    with (
        tempfile.TemporaryDirectory(prefix="dlas-") as folder,
        Listener(address := str(Path(folder, "socket")), "AF_UNIX") as listener,
    ):
        desk = threading.Thread(target=_admit, args=(listener, connections, turns, study), daemon=True)
        desk.start()
        try:
            yield address
        finally:
            turns.stop()
            for connection in connections:
                connection.close()
            with contextlib.suppress(*GONE):  # to close a listener does not wake the thread that waits for it
                Client(address).close()
            desk.join()


def _admit(listener: Listener, connections: list[Connection], turns: Turns, study: Mapping[str, Any]) -> None:
    while not turns.stopped:
        with contextlib.suppress(*GONE):
            connection = listener.accept()
            connections.append(connection)
            threading.Thread(target=_give, args=(connection, turns, study), daemon=True).start()


def _give(connection: Connection, turns: Turns, study: Mapping[str, Any]) -> None:
    """Give trials to one connection until there are none, or it ends."""
    with contextlib.suppress(*GONE), connection:
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
        """Return why not; None if it has to be."""
        self.connection.send((KNOWN, known))
        answer: str | None = self.connection.recv()
        return answer


def refusal(address: str, study: Mapping[str, Any]) -> str | None:
    """Return what the process at `address` runs if that is not `study`; "" if it is, None if nobody is there."""
    try:
        with Client(address) as connection:
            connection.send(study)
            answer: str = connection.recv()
            return answer
    except GONE:
        return None


def help_out(
    address: str, study: Mapping[str, Any], space: Space, engine: StageEngine, records: Records, observer: TrialObserver
) -> int:
    """Run trials of `space` for the process at `address` until it has no more, or ends; return how many were run."""

    def work() -> int:
        ended = 0
        with contextlib.suppress(*GONE), Client(address) as connection:
            connection.send(study)
            if connection.recv():
                return 0
            connection.send((READY,))
            screen = _Screen(connection) if space.latency_first else None
            while (asked := connection.recv()) is not None:
                number, configuration = asked
                start = time.perf_counter()
                outcome = records.outcome(space.name, number)
                outcome = outcome or trial.run(configuration, space.settings, engine, screen)
                if stop.is_set():
                    return ended
                connection.send((OUTCOME, outcome, time.perf_counter() - start))
                observer.ended(number, configuration, outcome)
                ended += 1
        return ended

    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=engine.concurrency) as executor:
        workers = [executor.submit(work) for _ in range(engine.concurrency)]
        try:
            return sum(worker.result() for worker in as_completed(workers))
        except BaseException:
            stop.set()
            engine.stop()
            raise
