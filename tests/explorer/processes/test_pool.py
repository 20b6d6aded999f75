"""Worker processes: answers, failures as values, crashes, and who may use the cores."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from explorer.core import locks
from explorer.core.errors import StageFailed
from explorer.line.execution import current
from explorer.processes.cores import Cores, SharedCores
from explorer.processes.pool import Pool, Worker, _cause, temporary


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker("torch", "torch 1", tmp_path / "torch-1.log", threads=1)
    yield worker
    worker.stop()


def test_a_call_is_answered_and_the_process_kept(worker: Worker) -> None:
    first = worker.request({"call": "os:getpid", "arguments": {}})
    assert worker.request({"call": "os:getpid", "arguments": {}}) == first != os.getpid()


def test_what_a_library_prints_is_not_taken_for_an_answer(worker: Worker) -> None:
    assert worker.request({"call": "os:system", "arguments": {"command": "echo noise"}}) == 0
    assert "noise" in worker.log.read_text()


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
    assert "(if memory was short, lower [compress] batch_size (now 512))" in _cause(process, request)
    assert "(was memory short?)" in _cause(process, {"call": "os:getpid"})


def test_an_exception_becomes_a_failure_with_its_traceback(worker: Worker) -> None:
    with pytest.raises(StageFailed) as caught:
        worker.request({"call": "os:listdir", "arguments": {"path": "/nowhere"}})
    failure = caught.value.failure
    assert failure.kind == "exception"
    assert "FileNotFoundError" in failure.message
    assert "Traceback" in failure.log


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


def test_a_tvm_worker_has_no_torch(tmp_path: Path) -> None:
    pool = Pool("tvm", 1, tmp_path, threads=1)
    try:
        with pool.borrow() as worker, pytest.raises(StageFailed, match="torch"):
            worker.request({"call": "torch:get_num_threads", "arguments": {}})
    finally:
        pool.stop()


def test_scikit_learn_does_not_take_what_keeps_torch_out_for_torch(tmp_path: Path) -> None:
    arguments = {"y_true": [1.0, 2.0], "y_pred": [1.0, 3.0]}
    with temporary("tvm", "scores", tmp_path) as worker:
        assert worker.request({"call": "sklearn.metrics:mean_absolute_error", "arguments": arguments}) == 0.5


PARENT = """
import sys
from pathlib import Path
from explorer.processes.pool import Worker
worker = Worker("torch", "torch 1", Path(sys.argv[1]) / "log", threads=1)
print(worker.request({"call": "os:getpid", "arguments": {}}), flush=True)
worker.request({"call": "signal:pause", "arguments": {}})
"""


def test_a_worker_dies_with_its_parent_even_at_work(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    child.wait(timeout=20)


def test_a_measurement_has_the_cores_alone_and_goes_first() -> None:
    cores = Cores()
    events: list[str] = []
    computing, release = threading.Event(), threading.Event()

    def compute_first() -> None:
        with cores.computing():
            computing.set()
            release.wait()
            events.append("first computation ends")

    def measure() -> None:
        with cores.alone():
            events.append("measurement begins")
            time.sleep(0.05)
            events.append("measurement ends")

    def compute_later() -> None:
        with cores.computing():
            events.append("later computation begins")

    threads = [threading.Thread(target=compute_first)]
    threads[0].start()
    computing.wait()
    for work in (measure, compute_later):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        time.sleep(0.05)
    assert not events
    release.set()
    for thread in threads:
        thread.join()
    assert events == [
        "first computation ends",
        "measurement begins",
        "measurement ends",
        "later computation begins",
    ]


def test_processes_share_the_cores_as_threads_do(tmp_path: Path) -> None:
    one, other = (SharedCores(tmp_path / "cores", tmp_path / "turn") for _ in range(2))  # as of two processes
    order: list[str] = []
    with ThreadPoolExecutor() as executor, contextlib.ExitStack() as computing:
        computing.enter_context(one.computing())

        def measure() -> None:
            with other.alone():
                order.append("measured")

        def compute(cores: SharedCores, name: str) -> None:
            with cores.computing():
                order.append(name)

        executor.submit(compute, other, "beside it").result()
        measuring = executor.submit(measure)
        while not _locked(tmp_path / "turn"):
            time.sleep(0.01)
        later = [executor.submit(compute, cores, "later") for cores in (one, other)]
        time.sleep(0.2)
        assert order == ["beside it"], "a measurement waits for what computes, and what comes later for it"
        computing.close()
        for future in (measuring, *later):
            future.result()
    assert order == ["beside it", "measured", "later", "later"]


def test_who_waits_for_cores_ends_with_the_explorer(tmp_path: Path) -> None:
    one, other = (SharedCores(tmp_path / "cores", tmp_path / "turn") for _ in range(2))
    with ThreadPoolExecutor() as executor, one.alone():
        waiting = executor.submit(lambda: other.computing().__enter__())
        other.stopping.set()
        with pytest.raises(StageFailed, match="stopped"):
            waiting.result()


def _locked(path: Path) -> bool:
    with path.open("a") as handle:
        return not locks.taken(handle)
