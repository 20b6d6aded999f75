"""What is shown of a stage under way, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from explorer.results import progress
from explorer.results.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
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
    with Progress(Console(file=output, width=60)) as shown:
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
    with Progress(Console(file=output, width=60)) as shown:
        shown.started("torch 1", "compress")
        for steps, seconds in ((10, 1), (50, 2)):
            for step in range(1, steps + 1):
                shown.advanced("torch 1", step, steps, f"step {step} of {steps}")
                clock.now += seconds
    assert output.getvalue().splitlines() == ["compress: step 31 of 50, about 0:38 left"]
