"""Events of a running study → live progress on a terminal; elsewhere a line per trial, and one a minute per stage."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.results import readable
from explorer.results.console import Plain
from explorer.results.progress.trial_line import trial_line
from explorer.workspace.database.records import Record

if TYPE_CHECKING:
    from explorer.search.search import Observer

LINE_SECONDS = 60.0  # between two lines on how far a stage is, where there is no terminal to draw on
BAR_CELLS = 30  # of a progress bar, or a quarter of a narrow terminal


@dataclass
class _Stage:
    """The stage that a worker is in: `done` of `total` steps are done, and `first` were when it told so first."""

    name: str
    text: str = ""
    done: int = 0
    total: int = 0
    first: int = 0
    start: float = 0.0
    printed: float = 0.0

    def advance(self, done: int, total: int, text: str) -> None:
        if total != self.total or done < self.done:  # the first word, or the first on the next of several trainings
            self.first, self.start, self.printed = done, time.monotonic(), time.monotonic()
        self.done, self.total, self.text = done, total, text

    def time_left(self) -> str:
        return _left(self.start, self.done - self.first, self.total - self.done)


class Progress:
    """Shows trials, the stage that each worker is in and how far, and the time left.

    It draws when something happens and never by a clock of its own: a redraw in the middle of a measurement would
    compute on the cores that are being measured.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._workers: dict[str, _Stage] = {}
        self._done = self._failed = self._wanted = self._at_start = 0
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def begin(self, done: int, wanted: int) -> None:
        """Note that `done` of `wanted` trials are on record."""
        with self._lock:
            self._done = self._at_start = done
            self._wanted = wanted
            if 0 < done < wanted:
                self._console.print(f"resuming after {done} of {wanted} trials")
        self._draw()

    def started(self, worker: str, stage: str) -> None:
        """Show that `worker` executes `stage`."""
        with self._lock:
            self._workers[worker] = _Stage(stage)
        self._draw()

    def finished(self, worker: str) -> None:
        """Show that `worker` is idle; drawn with the next event, which follows at once."""
        with self._lock:
            self._workers[worker] = _Stage("idle")

    def advanced(self, worker: str, done: int, total: int, text: str) -> None:
        """Show how far `worker` is in its stage; where there is no terminal, print it once a minute."""
        with self._lock:
            stage = self._workers[worker]
            stage.advance(done, total, text)
            line = time.monotonic() - stage.printed >= LINE_SECONDS
            if line:
                stage.printed = time.monotonic()
        if line and not self._live:
            self._console.print(Text(f"{stage.name}: {text}, {stage.time_left()}"), soft_wrap=True)
        self._draw()

    def note(self, message: str) -> None:
        """Print a line that stays."""
        self._console.print(readable.noted(message), soft_wrap=True)

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        """Count a trial and print its outcome in one line, which fits a terminal's width and is whole elsewhere.

        A trial that is left to the next run is printed and not counted.
        """
        with self._lock:
            failed = isinstance(outcome, Failure) and not outcome.skipped
            left = isinstance(outcome, Failure) and outcome.transient
            self._done += not left
            self._failed += failed and not left
            place = f"[{self._done}/{self._wanted}]"
        width = self._console.width if self._live else None
        self._console.print(Text(trial_line(place, number, configuration, outcome, width)), soft_wrap=True)
        self._draw()

    def _draw(self) -> None:
        if self._live:
            with self._lock:
                picture = self._picture()
            self._live.update(picture, refresh=True)

    def _picture(self) -> RenderableType:
        failed = f", {self._failed} failed" if self._failed else ""
        head = self._bars()
        self._add(head, self._done, self._wanted, f"{self._done} of {self._wanted} trials{failed}", self._time_left())
        workers = sorted(self._workers.items())
        stages = [Text.assemble(f"{worker}: ", (stage.name, "cyan")) for worker, stage in workers]
        short = Text("   ", no_wrap=True, overflow="ellipsis").join(stages or [Text("starting")])
        long = self._bars()
        for worker, stage in workers:
            if stage.total:
                self._add(long, stage.done, stage.total, f"{worker}: {stage.name}, {stage.text}", stage.time_left())
        return Group(head, short, long)

    def _bars(self) -> Table:
        """Return an empty grid of bars, each with a text and a time beside it."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True, width=min(BAR_CELLS, self._console.width // 4))
        grid.add_column()  # rich makes this one alone narrower where the three do not fit
        grid.add_column(no_wrap=True)
        return grid

    @staticmethod
    def _add(bars: Table, done: int, total: int, text: str, time_left: str) -> None:
        cut = Text(text, no_wrap=True, overflow="ellipsis")
        bars.add_row(ProgressBar(total=max(1, total), completed=done), cut, time_left)

    def _time_left(self) -> str:
        return _left(self._start, self._done - self._at_start, self._wanted - self._done)


def _left(start: float, done: int, remaining: int) -> str:
    """Return how long `remaining` steps will take if they take what those `done` since `start` took."""
    if not done:
        return ""
    seconds = int((time.monotonic() - start) / done * remaining)
    return f"about {seconds // 60}:{seconds % 60:02d} left"


@contextlib.contextmanager
def observed(observer: Observer | None, title: str) -> Iterator[Observer]:
    """Give `observer` or, if there is none, one that shows progress on the terminal under `title`."""
    if observer is not None:
        yield observer
        return
    console = Plain()
    console.print(title)
    with Progress(console) as progress:
        yield progress
