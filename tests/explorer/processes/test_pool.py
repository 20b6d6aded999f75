"""Worker processes as the explorer sees them: answers, crashes, silence, and pools of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import StageFailed
from explorer.line.execution import current
from explorer.processes.gpus import VARIABLE
from explorer.processes.pool import Pool, Request, Worker, cause_of_end


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker("torch", "torch 1", tmp_path / "torch-1.log", threads=1)
    yield worker
    worker.stop()


def test_a_call_is_answered_and_the_process_kept(worker: Worker) -> None:
    first = worker.request({"call": "os:getpid", "arguments": {}})
    assert worker.request({"call": "os:getpid", "arguments": {}}) == first != os.getpid()


def count_aloud(steps: int) -> str:
    for step in range(steps):
        current().note(f"step {step}")
        current().advance(step, steps, "counting")
    return "x" * (1 << 20)


def test_what_is_said_before_an_answer_is_heard_in_order(worker: Worker) -> None:
    heard: list[Mapping[str, Any]] = []
    call = {"call": f"{__name__}:count_aloud", "arguments": {"steps": 50}}
    assert len(worker.request(call, hear=heard.append)) == 1 << 20
    assert [word["note"] for word in heard if "note" in word] == [f"step {step}" for step in range(50)]
    told = [word["progress"] for word in heard if "progress" in word]
    assert told[0] == {"done": 0, "total": 50, "text": "counting"}
    assert len(told) < 50, "not every step is worth a line"
    assert worker.request({"call": "os:getpid", "arguments": {}}, timeout=20) > 0


def test_a_training_that_is_killed_is_told_to_take_smaller_batches() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    process.kill()
    request = {"stage": "compress", "parameters": {"batch_size": 512}}
    assert "(if memory was short, lower [compress] batch_size (now 512))" in cause_of_end(process, request)
    assert "(was memory short?)" in cause_of_end(process, {"call": "os:getpid"})


def test_a_crash_becomes_a_failure_and_the_next_request_is_answered(worker: Worker) -> None:
    with pytest.raises(StageFailed) as caught:
        worker.request({"call": "os:abort", "arguments": {}})
    assert caught.value.failure.kind == "crash"
    assert "SIGABRT" in caught.value.failure.message
    assert worker.request({"call": "os:getpid", "arguments": {}}) > 0


def test_a_silent_worker_is_given_up(worker: Worker) -> None:
    with pytest.raises(StageFailed) as caught:
        worker.request({"call": "signal:pause", "arguments": {}}, timeout=2)
    assert caught.value.failure.kind == "timeout"


def test_each_worker_sees_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "7")
    asked: Request = {"call": "os:getenv", "arguments": {"key": VARIABLE}}
    for gpus, seen in ((("GPU-a", "GPU-b"), ["GPU-a", "GPU-b", "GPU-a"]), ((), ["7", "7", "7"])):
        pool = Pool("torch", 3, tmp_path, threads=1, gpus=gpus)
        try:
            with contextlib.ExitStack() as borrowed:
                workers = [borrowed.enter_context(pool.borrow()) for _ in range(3)]
                assert [worker.request(asked) for worker in workers] == seen
        finally:
            pool.stop()


def test_a_stopped_pool_gives_no_worker(tmp_path: Path) -> None:
    pool = Pool("torch", 1, tmp_path, threads=1)
    with ThreadPoolExecutor() as executor, pool.borrow():
        waiting = executor.submit(lambda: pool.borrow().__enter__())
        pool.stop()
        assert not waiting.done()
    with pytest.raises(StageFailed, match="stopped"):
        waiting.result()
