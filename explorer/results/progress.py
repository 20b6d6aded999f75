"""Events of a running study → live progress on a terminal; elsewhere a line per trial, and one a minute of a stage."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.workspace.records import Record

LINE_SECONDS = 60.0  # between two lines on how far a stage is, where there is no terminal to draw on


@dataclass
class _Stage:
    """The stage that a worker is in, and how far: `done` of `total` steps; `first` of them before it told so first."""

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
        self._console.print(f"[yellow]note:[/] {escape(message)}", soft_wrap=True)

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        """Count a trial and print its outcome in one line."""
        with self._lock:
            self._done += 1
            self._failed += isinstance(outcome, Failure) and not outcome.skipped
            place = f"[{self._done}/{self._wanted}]"
        line = f"{place:>9} trial {number:<3} {brief(configuration)}  {_result(outcome)}"
        self._console.print(Text(line), soft_wrap=True)
        self._draw()

    def _draw(self) -> None:
        if self._live:
            with self._lock:
                picture = self._picture()
            self._live.update(picture, refresh=True)

    def _picture(self) -> RenderableType:
        head = Table.grid(padding=(0, 1))
        failed = f", {self._failed} failed" if self._failed else ""
        head.add_row(
            ProgressBar(total=max(1, self._wanted), completed=self._done, width=30),
            f"{self._done} of {self._wanted} trials{failed}",
            self._time_left(),
        )
        short = "   ".join(f"{worker}: [cyan]{stage.name}[/]" for worker, stage in sorted(self._workers.items()))
        long = Table.grid(padding=(0, 1))
        for worker, stage in sorted(self._workers.items()):
            if stage.total:
                bar = ProgressBar(total=stage.total, completed=stage.done, width=30)
                long.add_row(bar, f"{worker}: {stage.name}, {stage.text}", stage.time_left())
        return Group(head, Text.from_markup(short or "starting"), long)

    def _time_left(self) -> str:
        return _left(self._start, self._done - self._at_start, self._wanted - self._done)


def _left(start: float, done: int, remaining: int) -> str:
    """Return how long `remaining` steps will take if they take what those `done` since `start` took."""
    if not done:
        return ""
    seconds = int((time.monotonic() - start) / done * remaining)
    return f"about {seconds // 60}:{seconds % 60:02d} left"


def brief(c: Configuration) -> str:
    """Return a configuration in a few words, as a person would tell it from its neighbours."""
    removed = f" {c.ratio:g}" if c.ratio is not None else ""
    multiple = f" in multiples of {c.channel_multiple}" if c.channel_multiple is not None else ""
    threads = f"{c.threads} thread{'s' if c.threads > 1 else ''}"
    budget = [f"{c.tuning_trials} trials"] * (c.tuning_trials > 0) + [f"{c.tuning_seconds} s"] * (c.tuning_seconds > 0)
    tuned = f", tuned by {c.tuner} for {' or '.join(budget)}" if budget else ""
    data = f"{c.dataset}, {c.model} x{c.width:g}, {c.compression}{removed}{multiple}"
    return f"{data}, {c.algorithm} {c.format}{tuned}, {threads}, {c.device}"


def _result(outcome: Record | Failure) -> str:
    if isinstance(outcome, Failure) and outcome.skipped:
        return outcome.message
    if isinstance(outcome, Failure):
        return f"failed in {outcome.stage}: {outcome.message}"
    values = outcome.values
    interval = f"[{values['latency_low_ms']:.3f}, {values['latency_high_ms']:.3f}]"
    return f"accuracy {values['accuracy']:.4f}  {values['latency_ms']:.3f} ms {interval}  {values['size_bytes']:,} B"
