"""GPUs: what their drivers say of them, what a target claims of them, and what is said where the two do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from explorer.line.device import rpc
from explorer.line.probing import gpus
from explorer.line.probing.answers import Gpu
from explorer.space import gpu_targets

HOST = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76"}
MALI = Gpu("opencl", "Mali-G610 r0p0", 1024, None, 32768, 4, 4 * 10**9, "3.0", "3.0 v1.g6p0")
SMALL = Gpu("opencl", "Mali-G31", 128, None, 8192, 1)
ORIN = Gpu("cuda", "Orin", 1024, 32, 49152, 8, 8 * 10**9, "8.7")


class Session:
    """A device whose runtime has backends of these kinds, and a GPU of each that has attributes."""

    def __init__(self, **gpus: Mapping[str, Any] | None) -> None:
        self.gpus = gpus

    def device(self, kind: str) -> Any:
        said = self.gpus.get(kind)
        return SimpleNamespace(exist=bool(said), **(said or {}))

    def get_function(self, name: str) -> Any:
        assert name == rpc.IDLE
        return self.gpus.__contains__


class Broken:
    """A GPU whose driver raises when it is asked anything."""

    @property
    def exist(self) -> bool:
        raise RuntimeError("CL_OUT_OF_HOST_MEMORY")


SAID = {
    "device_name": "Orin", "max_threads_per_block": 1024, "warp_size": 32, "max_shared_memory_per_block": 49152,
    "multi_processor_count": 8, "total_global_memory": 8 * 10**9, "compute_version": "8.7",
}  # fmt: skip


def test_a_gpu_is_what_its_driver_says() -> None:
    assert gpus.described(Session(cuda=SAID), "cuda") == ORIN, "CUDA has no version of a driver for TVM"
    found = gpus.described(Session(opencl={**SAID, "warp_size": 1, "driver_version": "7"}), "opencl")
    assert found is not None
    assert (found.warp, found.driver) == (None, "7")


@pytest.mark.parametrize("kind", ["cuda", "opencl"])
def test_no_gpu_is_none(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    assert gpus.described(session, kind) is None
    monkeypatch.setattr(session, "device", lambda _: Broken())
    assert gpus.described(session, kind) is None


@pytest.mark.parametrize(("kind", "name", "option"), [("opencl", "OpenCL", "USE_OPENCL"), ("cuda", "CUDA", "USE_CUDA")])
def test_a_runtime_without_the_backend_is_told_from_one_without_a_device(kind: str, name: str, option: str) -> None:
    claimed = {"kind": kind, "arch": "sm_87"}
    asked = gpus.asked(Session(), "board", claimed, {**claimed, "host": HOST})
    assert asked == (
        None,
        f"the TVM runtime of device 'board' has no {name}: give it one that is built with {option}=ON "
        "(https://tvm.apache.org/docs/install/from_source.html) and start its server again",
    )
    asked = gpus.asked(Session(**{kind: None}), "board", claimed, {**claimed, "host": HOST})
    assert asked.refusal == (
        f"device 'board' has no {name} device: its TVM runtime has {name}, and no driver there offers it a device; "
        "install the GPU's driver and start its server again"
    )


def refused(claimed: Mapping[str, Any], says: Gpu) -> str:
    return gpus.refusal("board", claimed, {**claimed, "host": HOST}, says)


@pytest.mark.parametrize(
    ("claimed", "says"),
    [
        ({"kind": "opencl", "device": "mali"}, MALI),
        ({"kind": "opencl", "max_num_threads": 1024, "max_threads_per_block": 1024}, MALI),
        ({"kind": "opencl", "thread_warp_size": 16}, MALI),
        ({"kind": "opencl"}, Gpu("opencl")),
        (
            {
                "kind": "opencl",
                "max_num_threads": 128,
                "max_threads_per_block": 64,
                "max_shared_memory_per_block": 8192,
            },
            SMALL,
        ),
        ({"kind": "cuda", "arch": "sm_87"}, ORIN),
        ({"kind": "cuda", "arch": "sm_87", "thread_warp_size": 32, "max_shared_memory_per_block": 49152}, ORIN),
        ({"kind": "cuda", "arch": "sm_90a"}, Gpu("cuda", "NVIDIA H100", 1024, 32, 49152, 132, version="9.0")),
        ({"kind": "cuda", "arch": "sm_87"}, Gpu("cuda")),
    ],
)
def test_what_fits_and_what_is_not_said_is_not_refused(claimed: Mapping[str, Any], says: Gpu) -> None:
    assert refused(claimed, says) == ""


@pytest.mark.parametrize(
    ("claimed", "says", "message"),
    [
        (
            {"kind": "opencl", "max_threads_per_block": 2048},
            MALI,
            "device 'board' is Mali-G610 r0p0, which has at most 1024 threads in a work-group, and its target's "
            "max_threads_per_block is 2048; give it a target with max_threads_per_block = 1024",
        ),
        (
            {"kind": "cuda", "arch": "sm_87", "max_num_threads": 2048},
            ORIN,
            "device 'board' is Orin, which has at most 1024 threads in a work-group, and its target's max_num_threads "
            "is 2048; give it a target with max_num_threads = 1024",
        ),
        (
            {"kind": "opencl", "max_shared_memory_per_block": 65536},
            MALI,
            "device 'board' is Mali-G610 r0p0, which has 32768 bytes of shared memory for a work-group, and its "
            "target's max_shared_memory_per_block is 65536; give it a target with max_shared_memory_per_block = 32768",
        ),
        (
            {"kind": "opencl", "device": "mali-bifrost"},
            SMALL,
            "device 'board' is Mali-G31, which has at most 128 threads in a work-group, and its target's "
            "max_threads_per_block is 256, TVM's default; give it a target with max_threads_per_block = 128",
        ),
        (
            {"kind": "cuda", "arch": "sm_87", "thread_warp_size": 64},
            ORIN,
            "device 'board' is Orin, which has 32 threads that run in step, and its target's thread_warp_size is 64; "
            "give it a target with thread_warp_size = 32",
        ),
        (
            {"kind": "cuda", "arch": "sm_72"},
            ORIN,
            "device 'board' is Orin, of compute capability 8.7, and its target's arch is 'sm_72'; give it a target "
            "with arch = 'sm_87'",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_the_value(claimed: Mapping[str, Any], says: Gpu, message: str) -> None:
    assert refused(claimed, says) == message


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Mali-G610 r0p0", "mali"),
        ("Mali-G52 r1p0", "mali-bifrost"),
        ("QUALCOMM Adreno(TM) 740", "adreno"),
        ("Intel(R) UHD Graphics 620", "intel"),
        ("pthread-skylake-avx512-AMD EPYC", "pocl"),
        ("cpu-haswell-Intel(R) Core(TM)", "pocl"),
        ("PowerVR B-Series", None),
        (None, None),
    ],
)
def test_a_target_fits_what_the_driver_says(name: str | None, family: str | None) -> None:
    says = Gpu("opencl", name, 128, None, 8192, 1)
    found = gpus.fitting(says)
    assert found.get("device") == family
    assert (found["max_threads_per_block"], found["max_num_threads"]) == (128, 128)
    assert found["max_shared_memory_per_block"] == 8192
    assert gpu_targets.wrong(found) == ""
    assert refused(found, says) == ""


def test_of_cuda_it_has_the_compute_capability() -> None:
    found = gpus.fitting(ORIN)
    assert (found["kind"], found["arch"], found["thread_warp_size"]) == ("cuda", "sm_87", 32)
    assert gpu_targets.wrong(found) == ""
    assert refused(found, ORIN) == ""
