"""Finalists: the fastest for certain, also while the machine is slow for a while; the rules' schedule otherwise."""

from __future__ import annotations

import random

from explorer.line.tuning.layer import fastest

RULE, OTHER, FAILED = None, {"tile": [1]}, {"tile": [2]}


def runs(milliseconds: float, seed: int) -> list[float]:
    """Return 30 runs, noise of 1 %, half of them while the machine takes twice as long."""
    noise = random.Random(seed)
    return [milliseconds * (2 if 8 <= index < 23 else 1) * noise.gauss(1, 0.01) for index in range(30)]


def test_what_is_faster_by_less_than_the_machine_varies_is_found() -> None:
    decision, best_ms, rule_ms = fastest([RULE, OTHER, FAILED], [runs(1.0, 0), runs(0.95, 1), []])
    assert decision == OTHER
    assert best_ms < rule_ms


def test_what_is_not_faster_for_certain_leaves_the_rules() -> None:
    for seed in range(1, 9):
        # An inverted confidence is one in 40 for each of them; these seeds have none.
        decision, best_ms, rule_ms = fastest([RULE, OTHER], [runs(1.0, 0), runs(1.0, seed)])
        assert decision is None
        assert best_ms == rule_ms


def test_one_run_of_what_was_given_up_is_not_compared() -> None:
    assert fastest([RULE, OTHER], [runs(1.0, 0), [0.1]])[0] is None
