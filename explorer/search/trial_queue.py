"""Study → its next trial for the thread that asks, until there are as many as wanted; outcomes → the study."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.search.optuna_study.study import Study
from explorer.workspace.database.records import Record

Asked = tuple[int, Configuration]


@dataclass(frozen=True)
class Unfinished:
    """A trial that a run leaves to the next one, and what kept it from ending: see `explorer.core.errors.Failure`."""

    number: int
    stage: str
    kind: str
    message: str


def settle(
    study: Study, number: int, configuration: Configuration, outcome: Record | Failure, seconds: float
) -> list[Unfinished]:
    """Tell the outcome of a trial to its study or, where only its surroundings failed, leave it; return it then."""
    if isinstance(outcome, Failure) and outcome.transient:
        study.leave(number, outcome)
        return [Unfinished(number, outcome.stage, outcome.kind, outcome.message)]
    study.tell(number, configuration, outcome, seconds)
    return []


class TrialObserver(Protocol):
    """Hears of trials that end."""

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        """A trial ended, or is left unfinished by a failure that is transient."""


class TrialQueue:
    """Hands out the trials of a study and takes in their outcomes, one thread at a time.

    Parameters
    ----------
    computing
        Gives a context in which the sampler may compute.
    wanted
        How many trials are to be added.

    Attributes
    ----------
    unfinished : trials that were handed out and left, since their surroundings failed
    """

    def __init__(
        self, study: Study, computing: Callable[[], AbstractContextManager[None]], observer: TrialObserver, wanted: int
    ) -> None:
        self._study, self._computing, self._observer = study, computing, observer
        self._left = wanted
        self.unfinished: list[Unfinished] = []
        self._under_way = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Hand out nothing more; a thread that waits for a trial gets none."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def ask(self) -> Asked | None:
        """Return the next trial; None if there is none, and no trial under way can bring about another one."""
        with self._changed:
            while not self._stopping.is_set() and self._left:
                with self._computing():
                    asked = self._study.ask()
                if asked is not None:
                    self._left -= 1
                    self._under_way += 1
                    return asked
                if not (self._under_way and self._study.promotes):
                    return None
                self._changed.wait()
            return None

    def tell(self, asked: Asked, outcome: Record | Failure, seconds: float) -> None:
        """Take in the outcome of a trial that was handed out, unless all is stopped.

        A trial that ends after that may have failed because its workers were stopped; the next run takes it up again,
        as it does one whose surroundings failed.
        """
        if self._stopping.is_set():
            return
        with self._computing():
            self.unfinished += settle(self._study, *asked, outcome, seconds)
            self._observer.ended(*asked, outcome)
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()
