"""The worker process from inside: one library, its own standard output, and an end with the explorer's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from explorer.core.errors import StageFailed
from explorer.processes.pool import Pool, Worker, temporary


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with temporary("torch", "torch-1", tmp_path) as worker:
        yield worker


def test_what_a_library_prints_is_not_taken_for_an_answer(worker: Worker) -> None:
    assert worker.request({"call": "os:system", "arguments": {"command": "echo noise"}}) == 0
    assert "noise" in worker.log.read_text()


def test_an_exception_becomes_a_failure_with_its_traceback(worker: Worker) -> None:
    with pytest.raises(StageFailed) as caught:
        worker.request({"call": "os:listdir", "arguments": {"path": "/nowhere"}})
    failure = caught.value.failure
    assert failure.kind == "exception"
    assert "FileNotFoundError" in failure.message
    assert "Traceback" in failure.log


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
