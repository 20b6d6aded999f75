"""What is shown of a stage under way, on a terminal and elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.results.console import Plain
from explorer.results.progress import live
from explorer.results.progress.live import Progress
from explorer.workspace.database.records import Record
from tests.explorer.frames import complete


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


def test_a_terminal_shows_how_far_a_stage_is_and_the_time_left(clock: Clock) -> None:
    shown = Progress(Console(file=io.StringIO(), force_terminal=True, width=120))
    shown.started("torch 1", "train")
    shown.advanced("torch 1", 10, 100, "epoch 1 of 10")
    clock.now += 20
    shown.advanced("torch 1", 30, 100, "epoch 3 of 10")
    screen = Console(file=io.StringIO(), width=120)
    screen.print(shown._picture())
    assert isinstance(screen.file, io.StringIO)
    assert "torch 1: train, epoch 3 of 10 about 1:10 left" in screen.file.getvalue()
    shown.finished("torch 1")
    screen.print(shown._picture())
    assert screen.file.getvalue().count("epoch") == 1, "an idle worker has no bar"


def test_elsewhere_a_long_stage_has_a_line_a_minute(clock: Clock) -> None:
    output = io.StringIO()
    with Progress(Plain(output, 60)) as shown:
        shown.started("torch 1", "train")
        for second in range(150):
            shown.advanced("torch 1", second, 300, f"step {second} of 300")
            clock.now += 1
    assert output.getvalue().splitlines() == [
        "train: step 60 of 300, about 4:00 left",
        "train: step 120 of 300, about 3:00 left",
    ]


def test_the_time_left_is_that_of_the_training_under_way(clock: Clock) -> None:
    """Pruning fine-tunes several times in one stage."""
    output = io.StringIO()
    with Progress(Plain(output, 60)) as shown:
        shown.started("torch 1", "compress")
        for steps, seconds in ((10, 1), (50, 2)):
            for step in range(1, steps + 1):
                shown.advanced("torch 1", step, steps, f"step {step} of {steps}")
                clock.now += seconds
    assert output.getvalue().splitlines() == ["compress: step 31 of 50, about 0:38 left"]


STACK = Configuration(
    "fashion_mnist", "mobilenetv2", 0.25, "channel_pruning+int8", 0.75, "vector", None, "spatial_pack",
    tuning_trials=640, tuner="template", threads=2, device="rpi4",
)  # fmt: skip
RECORD = Record({**complete(0, 0.9733, 1.234), "build_key": "0" * 64})
FAILURE = Failure("measure", "run", "the worker ended with signal 9 while it measured the network on the device rpi4")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_on_a_terminal_fit_its_width(width: int, clock: Clock) -> None:
    output = io.StringIO()
    shown = Progress(Console(file=output, force_terminal=True, width=width, highlight=False))
    shown.begin(0, 36)
    shown.ended(0, STACK, RECORD)
    shown.ended(1, STACK, FAILURE)
    complete_line, failed_line = output.getvalue().splitlines()
    assert "97.33 %  1.234 ms" in complete_line or "accuracy 0.9733  1.234 ms [1.209, 1.296]" in complete_line
    assert "failed in measure" in failed_line
    assert max(map(cell_len, (complete_line, failed_line))) <= width


def test_a_trial_that_is_left_to_the_next_run_is_said_and_not_counted(clock: Clock) -> None:
    output = io.StringIO()
    shown = Progress(Console(file=output, width=400, highlight=False))
    shown.begin(0, 2)
    shown.ended(0, STACK, replace(FAILURE, kind="crash"))
    shown.ended(1, STACK, RECORD)
    left, complete_line = output.getvalue().splitlines()
    assert left.strip().startswith("[0/2] trial 0")
    assert "left in measure: the worker ended" in left
    assert complete_line.strip().startswith("[1/2] trial 1")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_picture_of_what_goes_on_fits_a_terminal(width: int, clock: Clock) -> None:
    shown = Progress(Console(file=io.StringIO(), force_terminal=True, width=width))
    shown.begin(0, 3600)
    clock.now += 5000
    for number in range(12):
        shown.ended(number, STACK, FAILURE)
    for worker in ("torch 1", "torch 2", "tvm 1", "tvm 2", "on rpi4", "on another board"):
        shown.started(worker, "evaluate")
    shown.advanced("torch 1", 1, 100, "epoch 1 of 10, after a text that tells more than a terminal is wide")
    clock.now += 60
    shown.advanced("torch 1", 10, 100, "epoch 1 of 10, after a text that tells more than a terminal is wide")
    screen = Console(file=io.StringIO(), width=width)
    screen.print(shown._picture())
    assert isinstance(screen.file, io.StringIO)
    head, stages, bar = screen.file.getvalue().splitlines()
    assert "12 of 3600 trials" in head
    assert "left" in head
    assert stages.startswith("on another board: evaluate   on rpi4: evaluate   torch 1: e")
    assert "torch 1: evaluate" in bar
    assert bar.rstrip().endswith("about 10:00 left")


def test_elsewhere_lines_are_whole_however_long() -> None:
    output = io.StringIO()
    with Progress(Plain(output, 60)) as shown:
        shown.ended(0, STACK, RECORD)
        shown.ended(1, STACK, FAILURE)
    complete_line, failed_line = output.getvalue().splitlines()
    assert "tuned by template for 640 trials" in complete_line
    assert complete_line.endswith("1,000 B")
    assert failed_line.endswith(FAILURE.message)
