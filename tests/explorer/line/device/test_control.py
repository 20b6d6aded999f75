"""The control in a session: the device's state as its system says it, and readings of programs that run."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tvm
from tvm import rpc as tvm_rpc

from dlas_ops import control as programs
from dlas_ops.processor.targets import native_target
from explorer.line.contracts.measure import DeviceState
from explorer.line.device import control, rpc
from explorer.line.device.control import LIBRARY, TICKS, Control, taken
from tests.conftest import Once

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def library(once: Once) -> Path:
    """The programs compiled for this machine."""

    def make(folder: Path) -> Path:
        programs.build(tvm.target.Target(native_target())).export_library(str(folder / LIBRARY))
        return folder / LIBRARY

    return once.made("control", make)


@pytest.fixture(scope="module")
def session() -> Any:
    return tvm_rpc.LocalSession()


@pytest.fixture(scope="module")
def loaded(session: Any, library: Path) -> Any:
    return session.load_module(rpc.place(session, library))


@pytest.fixture(scope="module")
def here(session: Any, loaded: Any) -> Control:
    """The control in a session in this process, on one thread."""
    return Control(session, loaded, 1)


def busy(fields: Sequence[int]) -> float:
    """Return the seconds at work by /proc/stat's own names."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    known = dict(zip(names, fields, strict=False))
    return sum(known[name] for name in ("user", "nice", "system", "irq", "softirq")) / TICKS


def cores_of_this_machine() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def test_the_state_is_what_the_system_says(here: Control) -> None:
    """Each value lies between two that are read in other ways before and after it."""
    assert os.sysconf("SC_CLK_TCK") == TICKS
    before = time.time(), busy(cores_of_this_machine()), sum(os.times()[:2])
    state = here.state()
    after = time.time(), busy(cores_of_this_machine()), sum(os.times()[:2])
    found = state["time"], state["busy_s"], state["own_s"]
    for name, low, value, high in zip(("time", "busy_s", "own_s"), before, found, after, strict=True):
        assert value is not None
        assert low - 2 / TICKS <= value <= high + 2 / TICKS, name
    assert state["steal_s"] == pytest.approx(cores_of_this_machine()[7] / TICKS, abs=1.0)
    assert state["load"] == pytest.approx(os.getloadavg()[0], abs=0.5)


def test_what_the_system_lacks_is_none(here: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "frequency").write_text("2450000\n")
    (tmp_path / "temperature").write_text("not supported\n")
    files = {
        "frequency_mhz": (str(tmp_path / "frequency"), 1e3),
        "temperature_c": (str(tmp_path / "temperature"), 1e3),
        "throttled": (str(tmp_path / "missing"), 1),
    }
    monkeypatch.setattr(control, "FILES", files)
    state = here.state()
    assert (state["frequency_mhz"], state["temperature_c"], state["throttled"]) == (2450.0, None, None)


def test_a_system_without_proc_has_only_the_time(here: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = here._numbers
    monkeypatch.setattr(here, "_numbers", lambda path, after="": numbers(f"/nowhere{path}", after))
    state: dict[str, Any] = {**here.state()}
    assert state.pop("time") <= time.time()
    assert state.pop("running_s") > 0
    assert set(state.values()) == {None}


def test_a_process_whose_name_has_numbers_and_brackets_is_read_behind_it(here: Control, tmp_path: Path) -> None:
    file = tmp_path / "stat"
    file.write_text("17 (a) 5 (b) S 1 2.5 x 3\nnext 9\n")
    assert here._numbers(str(file), after=")") == [1, 2.5, 3]
    assert here._numbers(str(file)) == [17, 5, 1, 2.5, 3]
    assert here._numbers(str(tmp_path / "missing")) == []


def test_every_program_is_timed(here: Control) -> None:
    """Arithmetic cannot take less than a processor of 10 TFLOP/s needs, nor reading less than at 10 TB/s."""
    flop = 2 * programs.ROWS * programs.LANES * programs.INNER * programs.AGAIN
    assert here.arithmetic_ms() > 1e3 * flop / 1e13
    assert here.memory_ms() > 1e3 * programs.READ / 1e13
    assert here.wake_us() > 0


@pytest.mark.parametrize(("threads", "expected"), [(1, 3.0), (2, 3.0)])
def test_the_median_of_runs_counts_and_of_memory_the_least(
    here: Control, threads: int, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = {"arithmetic": [1e-3, 9e-3, 3e-3], "memory": [4e-3, 3e-3, 9e-3], "wake": [3e-6, 1e-6, 8e-6]}
    monkeypatch.setattr(here, "_timed", timed.__getitem__)
    assert (here.arithmetic_ms(), here.memory_ms(), here.wake_us()) == pytest.approx((expected, expected, expected))


class Pinned:
    """Programs that note what is pinned."""

    def __init__(self, loaded: Any) -> None:
        self.masks: list[list[int]] = []
        self.time_evaluator = loaded.time_evaluator

    def __getitem__(self, name: str) -> Any:
        assert name == "pin"
        return lambda masks, done: self.masks.append(masks.numpy().tolist())


@pytest.fixture
def pinned(session: Any, loaded: Any) -> Pinned:
    return Pinned(loaded)


@pytest.mark.parametrize(
    ("threads", "cores", "masks"),
    [
        (1, [3], [[8]]),
        (2, [1, 0], [[2, 1]]),
        (2, [5, 63, 7], [[1 << 5, 1 << 63]]),
        (2, [0], []),
        (1, [], []),
        (1, [64], []),
    ],
)
def test_threads_have_cores_of_their_own_where_there_are_as_many(
    session: Any, pinned: Pinned, threads: int, cores: list[int], masks: list[list[int]]
) -> None:
    Control(session, pinned, threads).pin(cores)
    assert pinned.masks == masks


def test_a_thread_is_pinned_for_real(here: Control) -> None:
    try:
        here.pin(CORES[-1:])
        assert os.sched_getaffinity(0) == {CORES[-1]}
    finally:
        os.sched_setaffinity(0, CORES)


def state(time: float, busy: float | None, own: float, steal: float = 0.0) -> DeviceState:
    return {
        "time": 0.0,  # the date may be any
        "running_s": time,
        "load": None,
        "busy_s": busy,
        "steal_s": steal,
        "own_s": own,
        "frequency_mhz": None,
        "temperature_c": None,
        "throttled": None,
    }


@pytest.mark.parametrize(
    ("after", "threads", "expected"),
    [
        (state(12.0, 104.0, 4.0), 2, 0.0),  # the session had two cores
        (state(12.0, 104.0, 3.0), 2, 0.5),  # another process half of one
        (state(12.0, 104.0, 2.0), 1, 0.0),  # another process the core that one thread does not need
        (state(12.0, 103.0, 3.0, 1.0), 2, 0.5),  # the host half of one
        (state(12.0, 101.0, 1.0), 2, 0.0),  # threads slept: nobody had their time
        (state(12.0, None, 3.0), 2, None),
        (state(10.0, 104.0, 4.0), 2, None),
        (state(12.0, 104.0, 0.0), 2, None),  # an emulator counts nothing
    ],
)
def test_time_that_others_had_in_place_of_the_threads(after: DeviceState, threads: int, expected: float | None) -> None:
    assert taken(state(10.0, 100.0, 0.0), after, threads) == expected
