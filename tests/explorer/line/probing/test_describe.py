"""A device behind a real tracker: what an engine is told of it, and what is said where it does not answer or fit."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import StageFailed
from explorer.processes import loopback
from explorer.processes.pool import Worker
from tests.boards import board

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker("tvm", "tvm 1", tmp_path_factory.mktemp("logs") / "tvm-1.log", threads=1)
    yield worker
    worker.stop()


def describe(
    worker: Worker, tracker: str, key: str = "local", threads: int = 1, target: str | Mapping[str, Any] = "native"
) -> dict[str, object]:
    arguments = {"tracker": tracker, "key": key, "target": target, "threads": threads, "device": "board"}
    answer: dict[str, object] = worker.request(
        {"call": "explorer.line.probing.describe:describe", "arguments": arguments}, timeout=90
    )
    return answer


def test_a_loopback_device_answers_and_offers_its_cores(worker: Worker, tmp_path: Path) -> None:
    with loopback.server("local", CORES, tmp_path / "log") as tracker:
        answer = describe(worker, tracker, threads=len(CORES))
        assert answer["threads"] == len(CORES)
        assert isinstance(answer["target"], dict)
        assert answer["target"]["kind"] == "llvm"
        assert answer["lanes"] in (4, 8, 16)
    with pytest.raises(StageFailed, match=r"the server of device .local. at unix:.* does not answer"):
        describe(worker, tracker)


def test_too_few_threads_and_unknown_keys_are_said(worker: Worker, tmp_path: Path) -> None:
    with board("local", CORES[:1], tmp_path / "log") as tracker:
        with pytest.raises(StageFailed, match=r"runs 1 threads and the search space asks for 2.*TVM_NUM_THREADS=2"):
            describe(worker, tracker, threads=2)
        with pytest.raises(StageFailed, match=r"has no server for device 'rpi4'.*rpc_server"):
            describe(worker, tracker, key="rpi4")


def test_an_unreachable_tracker_is_named_with_the_commands_to_start_one(worker: Worker) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(StageFailed) as caught:
        describe(worker, address)
    failure = caught.value.failure
    assert failure.kind == "device"
    assert address in failure.message
    port = int(address.rpartition(":")[2])
    assert f"tvm.exec.rpc_tracker --host 127.0.0.1 --port {port} --port-end {port + 1}'" in failure.message
    assert "tvm.exec.rpc_server" in failure.message


def test_a_target_that_does_not_fit_is_refused_by_the_name_of_the_device(worker: Worker, tmp_path: Path) -> None:
    wrong = {"kind": "llvm", "mtriple": "riscv64-linux-gnu"}
    with (
        board("local", CORES[:1], tmp_path / "log") as tracker,
        pytest.raises(StageFailed, match=r"device 'board' is .*, and its target is for riscv64") as caught,
    ):
        describe(worker, tracker, target=wrong)
    assert caught.value.failure.kind == "device"
