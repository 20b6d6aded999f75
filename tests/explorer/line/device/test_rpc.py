"""A library brought to a device, and what a call takes there."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tvm.support import cc, tar

from explorer.core.errors import Failure, StageFailed
from explorer.line.device import rpc


class Device:
    """A device that notes what is uploaded to it and linked there."""

    def __init__(self) -> None:
        self.uploaded: list[tuple[str, str]] = []
        self.linked: list[str] = []
        self.calls = 0

    def upload(self, file: str, target: str) -> None:
        assert Path(file).exists()
        self.uploaded.append((file, target))

    def get_function(self, name: str) -> Callable[..., object]:
        def count(_: object) -> None:
            self.calls += 1

        known: dict[str, Callable[..., object]] = {
            "tvm.rpc.server.download_linked_module": self.linked.append,
            rpc.IDLE: count,
        }
        return known[name]


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
    assert rpc.place(device, library) == "library.tar.so"
    assert rpc.place(device, library, name="key.tar") == "key.tar.so"
    assert device.uploaded == [(str(library), "library.tar"), (str(library), "key.tar")]
    assert device.linked == ["library.tar", "key.tar"]


def test_a_round_trip_is_the_quickest_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    device, clock = Device(), iter([0.0, 0.9, 1.0, 1.25, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    monkeypatch.setattr(rpc, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert rpc.round_trip(device) == 0.25
    assert device.calls == rpc.ROUND_TRIPS


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
        assert rpc.place(device, library, linked) == str(folder / "key.so")
    assert len(links) == 1
    assert (device.uploaded, device.linked) == ([], [])
    assert [file.name for file in folder.iterdir()] == ["key.so"], "nothing is left of the linking"
    assert ctypes.CDLL(str(folder / "key.so")).seven() == 7
    rpc.place(device, library, "linked/other.so")
    assert len(links) == 2


POCL = """RPCError: Error caught from RPC call:
OpenCL build error for device=0x7f6158027270
Error: CL_BUILD_PROGRAM_FAILURE
error: /root/.cache/pocl/kcache/tempfile_PYdb3w.cl:6:2: "Half precision floating point not supported" \nDevice failed
"""
MALI = "Error: CL_BUILD_PROGRAM_FAILURE\n<source>:6:2: error: use of type 'double' requires cl_khr_fp64\n1 error"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (POCL, "Half precision floating point not supported"),
        (MALI, "use of type 'double' requires cl_khr_fp64"),
        ("Error: CL_BUILD_PROGRAM_FAILURE", "CL_BUILD_PROGRAM_FAILURE"),
    ],
)
def test_what_a_driver_says_against_a_kernel_is_a_failure_in_one_sentence(said: str, cause: str) -> None:
    with pytest.raises(StageFailed) as failed, rpc.compiling("measure", "board"):
        raise RuntimeError(said)
    assert failed.value.failure == Failure(
        "measure",
        "not_applicable",
        f"the OpenCL driver of device 'board' does not compile the network's kernels: {cause}",
    )


def test_a_kernel_that_is_not_launched_is_a_failure_in_one_sentence() -> None:
    with pytest.raises(StageFailed) as failed, rpc.compiling("measure", "board"):
        raise RuntimeError(
            "Check failed: (e == CL_SUCCESS) is false: OpenCL Error, code=-54: CL_INVALID_WORK_GROUP_SIZE"
        )
    assert failed.value.failure == Failure(
        "measure",
        "not_applicable",
        "the OpenCL driver of device 'board' does not launch the network's kernels (CL_INVALID_WORK_GROUP_SIZE): "
        "a work-group takes more registers or memory than it has",
    )


def test_any_other_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match=r"^error: gone$"), rpc.compiling("measure", "board"):
        raise RuntimeError("error: gone")
