"""Candidates on a device: what is timed and what is not, a session that ends, and numbers to run a program on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.tuning.task_extraction import Task
from explorer.core.errors import DeviceError
from explorer.line.device import rpc
from explorer.line.tuning import runner as module
from explorer.line.tuning.builders import Library
from explorer.line.tuning.runner import HOPELESS, LONG_MS, ROUNDS, RUNS, LostError, Program, Runner, numbers

te = tvm.te
RIGHT = [np.ones(4, np.float32)]
RULE_MS = 1.0


def task() -> Task:
    """Return a program of an activation, weights, 8-bit integers and a result."""
    shapes = [((2, 3), "float32"), ((2, 3), "float32"), ((2, 3), "uint8")]
    read = [te.placeholder(shape, dtype) for shape, dtype in shapes]
    result = te.compute((2, 3), lambda *at: read[0][at] * read[1][at] + read[2][at].astype("float32"))
    function = te.create_prim_func([*read, result])
    return Task("key", function, ("program",), 1, 3, {1: np.full((2, 3), 7, np.float32)})


class Device(module._OnDevice):
    """A device whose candidates take so many milliseconds in their first and every later run, or raise an error."""

    def __init__(self, candidates: Sequence[tuple[float, float] | Exception | str], dies: bool = False) -> None:
        self.candidates, self.dies = candidates, dies
        self.runs = [0] * len(candidates)

    @property
    def arrays(self) -> list[Any]:
        return []

    def load(self, libraries: Sequence[Library]) -> list[tuple[int, Any]]:
        return [(index, index) for index in range(len(self.candidates))]

    def run(self, function: Any) -> tuple[list[Any], float]:
        self.runs[function] += 1
        candidate = self.candidates[function]
        if isinstance(candidate, Exception):
            raise candidate
        if isinstance(candidate, str):
            return [RIGHT[0] + 1], 0.1
        return RIGHT, candidate[self.runs[function] > 1]

    def timer(self, function: Any, runs: int) -> Callable[[Sequence[Any]], list[float]]:
        candidate = self.candidates[function]
        assert isinstance(candidate, tuple)
        return lambda arrays: [1e-3 * candidate[1]] * runs

    def alive(self) -> bool:
        return not self.dies


class Scripted(Runner):
    """Measures on a scripted device."""

    def __init__(self, device: Device) -> None:
        super().__init__("10.0.0.1:9190", "board", {"kind": "llvm"}, 1, 0, 0.0)
        self.device = device

    def _connect(self, seconds: int) -> Any:
        return None

    def _on_device(self, *_: object) -> module._OnDevice:
        return self.device


def measured(device: Device) -> dict[int, Any]:
    return Scripted(device).measure(Program(task(), [], RIGHT, RULE_MS), [Library(Path("candidates.tar"), [])])


def test_right_candidates_are_timed_in_turns_and_wrong_ones_are_not() -> None:
    found = measured(Device([(1.0, 0.5), "wrong", ValueError("a tile does not fit"), (1.0, 0.25)]))
    assert found[0] == pytest.approx([0.5] * ROUNDS * RUNS)
    assert found[3] == pytest.approx([0.25] * ROUNDS * RUNS)
    assert found[1] == ("wrong output", "its results are not those of the rule-based schedule")
    assert found[2] == ("run", "ValueError: a tile does not fit")


def test_a_hopeless_candidate_runs_twice_and_a_slow_start_is_forgiven() -> None:
    limit = max(LONG_MS, HOPELESS * RULE_MS)
    device = Device([(limit + 1, limit + 2), (limit + 1, 0.5)])
    found = measured(device)
    assert found[0] == [limit + 2]
    assert len(found[1]) == ROUNDS * RUNS
    assert device.runs == [2, 2]


def test_what_was_found_before_a_session_ended_is_kept() -> None:
    with pytest.raises(LostError, match="the session ended: ConnectionError: reset") as lost:
        measured(Device(["wrong", ConnectionError("reset"), (1.0, 1.0)], dies=True))
    assert {index: kind for index, (kind, _) in lost.value.results.items()} == {0: "wrong output"}


def test_a_program_is_prepared_with_what_its_rules_compute_and_take() -> None:
    program = Scripted(Device([(3.0, 3.0)])).prepare(task(), Library(Path("rule.tar"), [(0, "rule")]))
    assert (program.outputs, program.rule_ms) == (RIGHT, 3.0)
    with pytest.raises(LostError) as lost:
        Scripted(Device([ValueError()])).prepare(task(), Library(Path("rule.tar"), [(0, "rule")]))
    assert lost.value.results == {}


def test_a_device_that_is_gone_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(rpc, "set_threads", lambda *_: None)
    answers: list[object] = [DeviceError("gone"), DeviceError("gone"), "session"]

    def connect(*_: object) -> object:
        answer = answers.pop(0) if answers else DeviceError("gone")
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(rpc, "connect", connect)
    assert Runner("10.0.0.1:9190", "board", {"kind": "llvm"}, 1, 0, reconnect=60)._connect(1) == "session"
    with pytest.raises(DeviceError, match=r"^gone \(waited for 0\.01 s\)$"):
        Runner("10.0.0.1:9190", "board", {"kind": "llvm"}, 1, 0, reconnect=0.01)._connect(1)
    with pytest.raises(DeviceError, match=r"^gone$"):
        Runner("10.0.0.1:9190", "board", {"kind": "llvm"}, 1, 0, reconnect=0)._connect(1)


def test_numbers_are_the_networks_weights_and_always_the_same_activations() -> None:
    own = task()
    activation, weights, integers = numbers(own)
    np.testing.assert_array_equal(weights, own.constants[1])
    assert [str(each.dtype) for each in (activation, integers)] == ["float32", "uint8"]
    assert 0 <= activation.min() < activation.max() < 1
    assert len(np.unique(integers)) > 1
    for first, second in zip(numbers(own), numbers(own), strict=True):
        np.testing.assert_array_equal(first, second)
