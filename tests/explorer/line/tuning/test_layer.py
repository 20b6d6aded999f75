"""Finalists: the surely fastest, also while the machine is slow for a while; the rules' schedule otherwise."""

from __future__ import annotations

import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.line.tuning.layer import fastest

RULE, OTHER, FAILED = None, {"tile": [1]}, {"tile": [2]}


def runs(milliseconds: float, seed: int, sessions: int = 3) -> list[list[float]]:
    """Return 30 runs in some sessions, noise of 1 %, half of them while the machine takes twice as long."""
    noise = random.Random(seed)
    taken = [milliseconds * (2 if 8 <= index < 23 else 1) * noise.gauss(1, 0.01) for index in range(30)]
    each = len(taken) // sessions
    return [taken[first : first + each] for first in range(0, len(taken), each)]


@pytest.mark.parametrize("sessions", [1, 3])
def test_what_is_faster_by_less_than_the_machine_varies_is_found(sessions: int) -> None:
    failed: list[list[float]] = [[]] * sessions
    samples = [runs(1.0, 0, sessions), runs(0.95, 1, sessions), failed]
    decision, best_ms, rule_ms = fastest([RULE, OTHER, FAILED], samples)
    assert decision == OTHER
    assert best_ms < rule_ms


def test_what_is_not_faster_for_certain_leaves_the_rules() -> None:
    for seed in range(1, 9):
        # An inverted confidence is one in 40 for each of them; these seeds have none.
        decision, best_ms, rule_ms = fastest([RULE, OTHER], [runs(1.0, 0), runs(1.0, seed)])
        assert decision is None
        assert best_ms == rule_ms


def test_what_one_session_contradicts_leaves_the_rules() -> None:
    """By all runs together it is faster with far more than 95 % confidence."""
    other = runs(0.8, 1)
    assert fastest([RULE, OTHER], [runs(1.0, 0), other])[0] == OTHER
    other[2] = [1.3 * each for each in other[2]]
    assert fastest([RULE, OTHER], [runs(1.0, 0), other])[0] is None


def test_the_least_ratio_of_most_sessions_counts() -> None:
    """One session in which the rules' schedule was slow makes no other schedule the best."""
    rule = [[1.0] * 10, [1.0] * 10, [9.0] * 10]
    steady, lucky = [[0.8] * 10, [0.8] * 10, [8.0] * 10], [[0.95] * 10, [0.95] * 10, [0.5] * 10]
    assert fastest([RULE, OTHER, FAILED], [rule, lucky, steady])[0] == FAILED


def test_one_run_of_what_was_given_up_is_not_compared() -> None:
    assert fastest([RULE, OTHER], [runs(1.0, 0), [[0.1]] * 3])[0] is None


def test_what_failed_in_one_session_is_not_compared() -> None:
    once, *others = runs(0.5, 1)
    assert fastest([RULE, OTHER], [runs(1.0, 0), [once, [], others[1]]])[0] is None


MILLISECONDS = st.floats(0.01, 100.0)
SESSION = st.lists(MILLISECONDS, min_size=10, max_size=10)
SESSIONS = st.lists(SESSION, min_size=3, max_size=3)


@given(st.lists(SESSIONS, min_size=2, max_size=4), st.floats(0.1, 10.0))
def test_a_decision_replaces_the_rules_only_where_every_session_agrees(
    samples: list[list[list[float]]], factor: float
) -> None:
    decisions = [None, *({"tile": number} for number in range(1, len(samples)))]
    decision, best_ms, rule_ms = fastest(decisions, samples)
    assert best_ms < rule_ms if decision else best_ms == rule_ms
    if decision:
        pairs = zip(samples[decisions.index(decision)], samples[0], strict=True)
        assert all(median(a / b for a, b in zip(own, rule, strict=True)) < 1 for own, rule in pairs)
    # A machine that is slower in a session is slower for all.
    slowed = [[[factor * each for each in own[0]], *own[1:]] for own in samples]
    assert fastest(decisions, slowed)[0] == decision


@given(SESSIONS, st.floats(0.5, 0.9), st.integers(1, 3))
def test_what_is_faster_in_every_run_replaces_the_rules(rule: list[list[float]], factor: float, place: int) -> None:
    samples = [rule, *([[2 * each for each in own] for own in rule] for _ in range(3))]
    samples[place] = [[factor * each for each in own] for own in rule]
    decisions = [None, {"tile": 1}, {"tile": 2}, {"tile": 3}]
    assert fastest(decisions, samples)[0] == {"tile": place}
