"""Events of a running study → live progress on a terminal, or one line per trial elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from explorer.configuration import Configuration
from explorer.errors import Failure
from explorer.records import Record


class Progress:
    """Shows trials, the stage that each worker is in, and the time left.

    It draws when something happens and never by a clock of its own: a redraw in the middle of a measurement would
    compute on the cores that are being measured.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._workers: dict[str, str] = {}
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
            self._workers[worker] = stage
        self._draw()

    def finished(self, worker: str) -> None:
        """Show that `worker` is idle; drawn with the next event, which follows at once."""
        with self._lock:
            self._workers[worker] = "idle"

    def note(self, message: str) -> None:
        """Print a line that stays."""
        self._console.print(f"[yellow]note:[/] {escape(message)}", soft_wrap=True)

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        """Count a trial and print its outcome in one line."""
        with self._lock:
            self._done += 1
            self._failed += isinstance(outcome, Failure)
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
        stages = "   ".join(f"{worker}: [cyan]{stage}[/]" for worker, stage in sorted(self._workers.items()))
        return Group(head, Text.from_markup(stages or "starting"))

    def _time_left(self) -> str:
        fresh = self._done - self._at_start
        if not fresh:
            return ""
        seconds = (time.monotonic() - self._start) / fresh * (self._wanted - self._done)
        return f"about {int(seconds) // 60}:{int(seconds) % 60:02d} left"


def brief(c: Configuration) -> str:
    """Return a configuration in a few words, as a person would tell it from its neighbours."""
    removed = f" {c.ratio:g}" if c.ratio is not None else ""
    multiple = f" in multiples of {c.channel_multiple}" if c.channel_multiple is not None else ""
    threads = f"{c.threads} thread{'s' if c.threads > 1 else ''}"
    tuned = f", tuned {c.tuning_trials}" if c.tuning_trials else ""
    data = f"{c.dataset}, {c.model} x{c.width:g}, {c.compression}{removed}{multiple}"
    return f"{data}, {c.algorithm} {c.format}{tuned}, {threads}, {c.device}"


def _result(outcome: Record | Failure) -> str:
    if isinstance(outcome, Failure):
        return f"failed in {outcome.stage}: {outcome.message}"
    values = outcome.values
    interval = f"[{values['latency_low_ms']:.3f}, {values['latency_high_ms']:.3f}]"
    return f"accuracy {values['accuracy']:.4f}  {values['latency_ms']:.3f} ms {interval}  {values['size_bytes']:,} B"
