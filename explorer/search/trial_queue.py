"""Study → its next trial for whoever asks, here or in a process that helps, until there are as many as wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.search.study import Study
from explorer.workspace.records import Record

# How often a thread that waits for another one's trial looks whether all is to stop.
POLL_SECONDS = 1.0

Asked = tuple[int, Configuration]


class TrialObserver(Protocol):
    """Who is told of trials that end."""

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        """A trial ended."""


class Turns:
    """Hands out the trials of a study and takes in what came of them, one thread at a time.

    Parameters
    ----------
    computing
        Gives a context in which the sampler may compute.
    wanted
        How many trials are to be added.
    """

    def __init__(
        self, study: Study, computing: Callable[[], AbstractContextManager[None]], observer: TrialObserver, wanted: int
    ) -> None:
        self.study = study
        self._computing, self._observer = computing, observer
        self._left = wanted
        self._under_way = 0
        self._elsewhere = 0  # of those under way, the ones of processes that help
        self._given_back: list[Asked] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._error: Exception | None = None

    @property
    def stopped(self) -> bool:
        """Whether nothing more is handed out or taken in."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Hand out nothing more; whoever waits for a trial gets none."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Have the next to ask raise `error`, which came up where nobody else would see it."""
        self._error = error
        self.stop()

    def ask(self, elsewhere: bool = False) -> Asked | None:
        """Return the next trial; None if there is none and what is under way cannot bring about another one.

        Parameters
        ----------
        elsewhere
            Whether it will be run by another process, which may end before the trial does: `give_back` says so.
        """
        with self._changed:
            while not self.stopped:
                if (asked := self._next()) is not None:
                    self._under_way += 1
                    self._elsewhere += elsewhere
                    return asked
                promotes = self._left and self._under_way and self.study.promotes
                if not promotes and not self._elsewhere:
                    return None
                self._changed.wait(POLL_SECONDS)
            if self._error:
                raise self._error
            return None

    def tell(self, asked: Asked, outcome: Record | Failure, seconds: float, elsewhere: bool = False) -> None:
        """Take in the outcome of a trial that was handed out, unless all is stopped.

        Whatever a trial says then may come of its workers being stopped; the next run takes it up again.
        """
        if self.stopped:
            return
        with self._computing():
            self.study.tell(*asked, outcome, seconds)
            self._observer.ended(*asked, outcome)
        self._end(elsewhere)

    def give_back(self, asked: Asked) -> None:
        """Have somebody else run a trial that another process was given and will not end."""
        with self._changed:
            self._given_back.append(asked)
        self._end(elsewhere=True)

    def _next(self) -> Asked | None:
        if self._given_back:
            return self._given_back.pop()
        if not self._left:
            return None
        with self._computing():
            asked = self.study.ask()
        self._left -= asked is not None
        return asked

    def _end(self, elsewhere: bool) -> None:
        with self._changed:
            self._under_way -= 1
            self._elsewhere -= elsewhere
            self._changed.notify_all()
