"""The control's programs, compiled for this machine and run in this process: each does what it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlas_ops import control
from dlas_ops._tvm import tvm
from dlas_ops.passes.eviction import LINE
from dlas_ops.processor.targets import native_target

CORES = sorted(os.sched_getaffinity(0))
TASKS = Path("/proc/self/task")


@pytest.fixture(scope="module")
def programs() -> Any:
    """The programs' module."""
    return control.build(tvm.target.Target(native_target())).jit()


@pytest.fixture
def threads() -> Iterator[int]:
    """As many threads as the pool computes on, whose cores are the former ones again afterwards."""
    before = affinities()
    offered = int(tvm.get_global_func("runtime.NumThreads")())
    yield offered
    for task in affinities():
        os.sched_setaffinity(task, before.get(task, CORES))


def affinities() -> dict[int, set[int]]:
    """Return the cores of every thread of this process."""
    return {int(task.name): os.sched_getaffinity(int(task.name)) for task in TASKS.iterdir()}


def zeros(shape: tuple[int, ...], dtype: str) -> Any:
    return tvm.runtime.tensor(np.zeros(shape, dtype))


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_arithmetic_sums_each_product_as_often_as_it_says(programs: Any, parts: int) -> None:
    drawn = np.random.default_rng(parts)
    # Whole numbers, whose sums float32 holds exactly.
    left = drawn.integers(-2, 3, (parts, control.INNER, control.ROWS)).astype(np.float32)
    right = drawn.integers(-2, 3, (parts, control.INNER, control.LANES)).astype(np.float32)
    sums = zeros((parts, control.ROWS, control.LANES), "float32")
    for _ in range(2):  # nothing is left of the first time
        programs["arithmetic"](tvm.runtime.tensor(left), tvm.runtime.tensor(right), sums)
        assert np.array_equal(sums.numpy(), control.AGAIN * np.einsum("pki,pkj->pij", left, right))


def test_memory_is_read_to_its_last_line(programs: Any) -> None:
    memory = np.random.default_rng(0).integers(-9, 10, (2, 1001, LINE)).astype(np.float32)
    sums = zeros((2, LINE), "float32")
    programs["memory"](tvm.runtime.tensor(memory), sums)
    assert np.array_equal(sums.numpy(), memory.sum(axis=1))


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_every_thread_wakes(programs: Any, parts: int) -> None:
    done = tvm.runtime.tensor(np.full(parts, -1, np.int32))
    programs["wake"](done)
    assert done.numpy().tolist() == list(range(parts))


@pytest.mark.parametrize("cores", [CORES[:1] * 2, CORES[:2], CORES[:2][::-1]], ids=["one", "own", "reversed"])
def test_every_thread_is_pinned_to_its_core(programs: Any, threads: int, cores: list[int]) -> None:
    if threads < 2 or len(cores) < 2:
        pytest.skip("needs two threads on two cores")
    wanted = (cores * threads)[:threads]
    done = zeros((threads,), "int32")
    programs["wake"](done)  # the pool's threads begin at their first work
    for task in affinities():
        os.sched_setaffinity(task, CORES)
    masks = np.array([1 << core for core in wanted], np.uint64)
    programs["pin"](tvm.runtime.tensor(masks), done)
    assert done.numpy().tolist() == threads * [0]
    alone = [next(iter(own)) for own in affinities().values() if len(own) == 1]
    assert sorted(alone) == sorted(wanted)
    assert os.sched_getaffinity(0) == {wanted[0]}, "the calling thread does the first part"


def test_a_core_that_is_not_there_is_said(programs: Any, threads: int) -> None:
    if os.cpu_count() is None or 63 in CORES:
        pytest.skip("this machine has a core 63")
    done = zeros((threads,), "int32")
    before = affinities()
    programs["pin"](tvm.runtime.tensor(np.full(threads, 1 << 63, np.uint64)), done)
    assert done.numpy().tolist() == threads * [-1]
    assert {task: own for task, own in affinities().items() if task in before} == before


def contents(programs: Any, path: str) -> tuple[int, bytes]:
    text, done = zeros((control.TEXT,), "uint8"), zeros((1,), "int64")
    programs["contents"](tvm.runtime.tensor(np.frombuffer(path.encode() + b"\0", np.uint8)), text, done)
    return int(done.numpy()[0]), text.numpy().tobytes()


@pytest.mark.parametrize("size", [0, 1, 5, control.TEXT - 1, control.TEXT, control.TEXT + 1, 5000])
def test_the_beginning_of_a_file_is_read(programs: Any, tmp_path: Path, size: int) -> None:
    written = bytes(np.random.default_rng(size).integers(1, 256, size, np.uint8))
    (tmp_path / "a file").write_bytes(written)
    length, text = contents(programs, str(tmp_path / "a file"))
    assert length == min(size, control.TEXT)
    assert text[:length] == written[: control.TEXT]
    assert not any(text[length:])


def test_what_cannot_be_read_has_no_length(programs: Any, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, "/proc/self/mem"):
        length, text = contents(programs, str(path))
        assert length == -1
        assert not any(text)


def test_no_file_stays_open(programs: Any, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(300):
        assert contents(programs, "/proc/stat")[0] > 0
        assert contents(programs, str(tmp_path / "missing"))[0] == -1
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_timed_programs_take_arguments_of_these_shapes(programs: Any) -> None:
    for threads in (1, 2, 3, 8):
        shapes = control.arguments(threads)
        assert list(shapes) == ["arithmetic", "memory", "wake"]
        (_, lines, line), _ = shapes["memory"][0]
        assert control.READ - 4 * line * threads < 4 * threads * lines * line <= control.READ
        for name, arguments in shapes.items():
            programs[name](*(zeros(shape, dtype) for shape, dtype in arguments))
