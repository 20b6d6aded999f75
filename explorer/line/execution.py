"""One execution of a stage, seen from inside → words to the explorer, and files that outlive a cut-off execution."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

SILENCE = 0.5  # seconds between two words on how far it is: each costs a line through a pipe and a drawing


class Execution:
    """One execution of a stage.

    Parameters
    ----------
    scratch
        Folder, which may not exist yet, that the next execution with the same key finds again if this one is cut off;
        it is removed once the stage has answered. None where nothing is kept.
    tell
        Takes ``{"progress": {"done": ..., "total": ..., "text": ...}}`` and ``{"note": ...}``.
    give_up
        Ends the execution from any thread, and does not return: its device is gone, for the reason that it takes.
    """

    def __init__(
        self,
        scratch: Path | None = None,
        tell: Callable[[Mapping[str, Any]], None] = lambda word: None,
        give_up: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.give_up = give_up
        self._scratch = scratch
        self._tell = tell
        self._files = 0
        self._told = 0.0
        # Whether the device that the stage has a session on answers no more; a stage without one has no device.
        self.device_is_gone: Callable[[], bool] = lambda: False

    def advance(self, done: int, total: int, text: str) -> None:
        """Say that `done` of `total` steps are behind, `text` in a few words; left unsaid soon after the last."""
        now = time.monotonic()
        if now - self._told >= SILENCE:
            self._told = now
            self._tell({"progress": {"done": done, "total": total, "text": text}})

    def note(self, message: str) -> None:
        """Say something that the user should know, in one sentence."""
        self._tell({"note": message})

    def file(self, name: str) -> Path | None:
        """Return a file in the scratch folder: the n-th call of every execution with the same key returns the same."""
        self._files += 1
        return self._scratch / f"{self._files}-{name}" if self._scratch else None


_current: ContextVar[Execution] = ContextVar("execution")
_ALONE = Execution()


def current() -> Execution:
    """Return the execution under way; where a stage runs without the explorer, one that tells and keeps nothing."""
    return _current.get(_ALONE)


@contextlib.contextmanager
def executing(execution: Execution) -> Iterator[None]:
    """Make `execution` the one that `current` returns."""
    token = _current.set(execution)
    try:
        yield
    finally:
        _current.reset(token)
