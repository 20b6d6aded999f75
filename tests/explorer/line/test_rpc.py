"""A device behind a real tracker: what it says of itself, and what is said where it does not answer."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tvm.support import cc, tar

from explorer.core.errors import StageFailed
from explorer.line import rpc
from explorer.processes import loopback
from explorer.processes.pool import Worker

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker("tvm", "tvm 1", tmp_path_factory.mktemp("logs") / "tvm-1.log", threads=1)
    yield worker
    worker.stop()


def describe(worker: Worker, tracker: str, key: str = "local", threads: int = 1) -> dict[str, object]:
    arguments = {"tracker": tracker, "key": key, "target": "native", "threads": threads}
    answer: dict[str, object] = worker.request(
        {"call": "explorer.line.rpc:describe", "arguments": arguments}, timeout=90
    )
    return answer


def test_a_loopback_device_answers_and_offers_its_cores(worker: Worker, tmp_path: Path) -> None:
    with loopback.server("local", CORES, tmp_path / "log") as tracker:
        answer = describe(worker, tracker, threads=len(CORES))
        assert answer["threads"] == len(CORES)
        assert isinstance(answer["target"], dict)
        assert answer["target"]["kind"] == "llvm"
        assert answer["lanes"] in (4, 8, 16)
    with pytest.raises(StageFailed, match="no RPC tracker answers"):
        describe(worker, tracker)


def test_too_few_threads_and_unknown_keys_are_said(worker: Worker, tmp_path: Path) -> None:
    with loopback.server("local", CORES[:1], tmp_path / "log") as tracker:
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
    assert "tvm.exec.rpc_tracker" in failure.message
    assert "tvm.exec.rpc_server" in failure.message


class Device:
    """A device that notes what is uploaded to it and loaded there."""

    def __init__(self) -> None:
        self.uploaded: list[tuple[str, str]] = []
        self.loaded: list[str] = []

    def upload(self, file: str, target: str) -> None:
        assert Path(file).exists()
        self.uploaded.append((file, target))

    def load_module(self, name: str) -> str:
        self.loaded.append(name)
        return f"module {name}"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of object files: a function that returns 7."""
    source = tmp_path / "seven.c"
    source.write_text("int seven(void) { return 7; }\n")
    subprocess.run(["cc", "-c", "-fPIC", source, "-o", tmp_path / "seven.o"], check=True)
    tar.tar(str(tmp_path / "library.tar"), [str(tmp_path / "seven.o")])
    return tmp_path / "library.tar"


def test_a_device_elsewhere_links_what_is_uploaded(library: Path) -> None:
    device = Device()
    assert rpc.load(device, library) == "module library.tar"
    assert rpc.load(device, library, name="key.tar") == "module key.tar"
    assert device.uploaded == [(str(library), "library.tar"), (str(library), "key.tar")]
    assert device.loaded == ["library.tar", "key.tar"]


def test_for_a_device_that_reads_our_files_a_library_is_linked_once(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, folder = Device(), tmp_path / "linked"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    links = []

    def create_shared(output: str, objects: list[str]) -> None:
        links.append(output)
        cc.create_shared(output, objects)

    monkeypatch.setattr(rpc, "cc", SimpleNamespace(create_shared=create_shared))
    for linked in ("linked/key.so", "linked/key.so", str(folder / "key.so")):
        assert rpc.load(device, library, linked) == f"module {folder / 'key.so'}"
    assert len(links) == 1
    assert device.uploaded == []
    assert [file.name for file in folder.iterdir()] == ["key.so"], "nothing is left of the linking"
    assert ctypes.CDLL(str(folder / "key.so")).seven() == 7
    rpc.load(device, library, "linked/other.so")
    assert len(links) == 2
