"""Samples in a session: as many as it needs for half of them to be quiet, each of as many runs as fill its time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from explorer.core.measurement.sessions import Readings
from explorer.line.contracts.on_device import InSessions
from explorer.line.device import session
from explorer.line.device.control import Control

PARAMETERS = InSessions(1, samples=10, sample_ms=0.2, warmup_ms=0.1)


class ScriptedControl:
    """A control whose arithmetic takes as long as the script says, its last entry from then on."""

    def __init__(self, *arithmetic_ms: float) -> None:
        self._script = list(arithmetic_ms)
        self.read = 0

    def arithmetic_ms(self) -> float:
        self.read += 1
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def memory_ms(self) -> float:
        return 2.0

    def wake_us(self) -> float:
        return 0.8


@pytest.mark.parametrize(
    ("arithmetic", "taken"),
    [
        ([0.3], 10),
        ([0.3] * 6 + [0.6], 10),  # half of the samples are quiet, which is enough
        ([0.3] * 5 + [0.6], 30),  # one less is not, and more is never asked for
        ([0.3] * 5 + [0.6] * 6 + [0.3], 20),
        ([0.6], 10),  # what has lasted all the time will go on
    ],
)
def test_as_many_samples_are_taken_as_it_needs_for_half_of_them_to_be_quiet(
    arithmetic: list[float], taken: int
) -> None:
    samples = iter(range(1000))
    protocol = replace(PARAMETERS, usual=Readings(0.3, 0.8, 2.0))
    scripted = cast(Control, ScriptedControl(*arithmetic))
    found, readings = session.sampled(lambda: float(next(samples)), scripted, protocol, 60.0)
    assert found == [float(number) for number in range(1, 1 + taken)], "the first one warms the caches"
    assert len(readings["arithmetic_ms"]) == taken + 1
    assert readings["memory_ms"] == [2.0, 2.0]


def test_it_is_waited_until_the_control_takes_its_usual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(session, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(session, "clocks", SimpleNamespace(running=lambda: now[0]))
    for script, patience, waited, read in (
        ([0.3], 9.0, 0.0, 1),
        ([0.6, 0.6, 0.3], 9.0, 2 * session.POLL_SECONDS, 3),
        ([0.6], 0.0, 0.0, 1),
        ([0.6], 0.625, 0.625, 4),
    ):
        control = ScriptedControl(*script)
        protocol = replace(PARAMETERS, usual=Readings(0.3, 0.8, 2.0), patience=patience)
        assert session.until_quiet(cast(Control, control), protocol) == pytest.approx(waited)
        assert control.read == read
    unknown = replace(PARAMETERS, patience=9.0)
    assert session.until_quiet(cast(Control, ScriptedControl(0.6)), unknown) == 0.0, "nothing is usual yet"


class Network:
    """A network that takes so many seconds a run."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.runs = 0

    def time_evaluator(self, name: str, device: object, number: int, repeat: int) -> Any:
        self.runs += number
        return lambda image: SimpleNamespace(mean=self.seconds)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1e-3, 5), (2e-3, 2), (1.0, 1), (0.0, session.MAX_RUNS), (1e-9, session.MAX_RUNS)],
)
def test_as_many_runs_fill_a_sample_as_its_time_takes(seconds: float, expected: int) -> None:
    protocol = InSessions(1, samples=10, sample_ms=5.0, warmup_ms=0.0)
    assert session.runs_per_sample(Network(seconds), None, None, protocol, 60.0) == expected


def test_a_network_runs_until_it_is_warm() -> None:
    network = Network(1e-3)
    protocol = InSessions(1, samples=10, sample_ms=5.0, warmup_ms=30.0)
    assert session.runs_per_sample(network, None, None, protocol, 60.0) == 5
    assert network.runs == 1 + 6 * 5, "30 ms and what the first run takes"
