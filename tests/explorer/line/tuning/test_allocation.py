"""Which layer is next: each once, the longest first; then where most is to be gained; none that is exhausted."""

from __future__ import annotations

from explorer.line.tuning.allocation import Progress, following
from explorer.line.tuning.database import Trial


def measured(*milliseconds: float) -> list[Trial]:
    return [Trial({"n": number}, (value,)) for number, value in enumerate(milliseconds)]


def test_every_layer_has_a_step_first_the_longest_in_front() -> None:
    layers = [Progress(1, 1.0), Progress(3, 2.0), Progress(1, 4.0)]
    order = []
    for _ in layers:
        chosen = following(layers)
        assert chosen is not None
        order.append(chosen)
        layers[chosen].step(measured(layers[chosen].rule_ms))
    assert order == [1, 2, 0]


def test_progress_and_calls_attract() -> None:
    improving, stuck = Progress(1, 2.0), Progress(1, 2.0)
    improving.step(measured(1.5))
    stuck.step(measured(2.5))
    for value in (1.2, 0.9):
        improving.step(measured(value))
        stuck.step(measured(2.5))
    assert stuck.best_ms == 2.0, "the rules' schedule is no worse for what was tried"
    assert improving.expected_gain > stuck.expected_gain * improving.best_ms / stuck.best_ms
    often = Progress(9, 2.0)
    for _ in range(3):
        often.step(measured(2.5))
    assert following([improving, stuck, often]) == 2


def test_what_is_exhausted_or_failed_is_left() -> None:
    done, failed = Progress(5, 9.0, exhausted=True), Progress(1, 1.0)
    assert following([done, failed]) == 1
    failed.step([Trial({"n": 1}, (), ("wrong output", "…"))])
    assert failed.best_ms == 1.0
    failed.exhausted = True
    assert following([done, failed]) is None
