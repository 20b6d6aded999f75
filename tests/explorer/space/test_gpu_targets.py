"""Targets of GPUs in the devices file: what is allowed, and one sentence with the value for what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from explorer.space.gpu_targets import host_of, is_gpu, wrong

HOST = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76"}
LIMITS = {"max_num_threads": 256, "max_threads_per_block": 256, "max_shared_memory_per_block": 32768}


@pytest.mark.parametrize(
    "target",
    [
        {"kind": "opencl"},
        {"kind": "opencl", "device": "mali", "host": HOST},
        {"kind": "opencl", "device": "mali-bifrost", **LIMITS, "thread_warp_size": 8},
        {"kind": "opencl", "device": "adreno", "host": HOST},
        {"kind": "opencl", "device": "intel"},
        {"kind": "opencl", "device": "pocl"},
        {"kind": "cuda", "arch": "sm_87", **LIMITS, "host": HOST},
        {"kind": "cuda", "arch": "sm_90a"},
    ],
)
def test_what_schedules_are_for_is_allowed(target: Mapping[str, Any]) -> None:
    assert is_gpu(target)
    assert wrong(target) == ""


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            {"kind": "opencl", "device": "malli"},
            "there are no schedules for device 'malli' of kind 'opencl'; allowed: mali-bifrost, mali, adreno, intel, "
            "pocl; did you mean 'mali'?",
        ),
        (
            {"kind": "opencl", "max_thread": 3},
            "a target of kind 'opencl' takes no max_thread; allowed: device, max_num_threads, max_threads_per_block, "
            "max_shared_memory_per_block, thread_warp_size, host; did you mean 'max_num_threads'?",
        ),
        (
            {"kind": "opencl", "mcpu": "cortex-a76"},
            "a target of kind 'opencl' takes no mcpu; it belongs into the target's host",
        ),
        (
            {"kind": "cuda", "arch": "sm_87", "device": "orin"},
            "a target of kind 'cuda' takes no device; allowed: arch, max_num_threads, max_threads_per_block, "
            "max_shared_memory_per_block, thread_warp_size, host",
        ),
        (
            {"kind": "cuda"},
            "a target of kind 'cuda' needs arch, sm_ and the GPU's compute capability, such as arch = 'sm_87'",
        ),
        (
            {"kind": "cuda", "arch": "8.7"},
            "a target of kind 'cuda' needs arch, sm_ and the GPU's compute capability, such as arch = 'sm_87', not "
            "'8.7'",
        ),
        (
            {"kind": "opencl", "max_num_threads": 0},
            "max_num_threads of a target is a number above 0, not 0",
        ),
        (
            {"kind": "opencl", "thread_warp_size": "8"},
            "thread_warp_size of a target is a number above 0, not '8'",
        ),
        (
            {"kind": "opencl", "host": "native"},
            "host of a target is the target of the GPU's processor, such as { kind = 'llvm', mcpu = 'cortex-a76' }, "
            "not 'native'",
        ),
        (
            {"kind": "opencl", "host": {"kind": "cuda"}},
            "host of a target is the target of the GPU's processor, such as { kind = 'llvm', mcpu = 'cortex-a76' }, "
            "not {'kind': 'cuda'}",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_the_value(target: Mapping[str, Any], message: str) -> None:
    assert wrong(target) == message


def test_the_host_runs_the_server() -> None:
    assert host_of({"kind": "opencl", "host": HOST}) == HOST
    assert host_of(HOST) == HOST
    assert not is_gpu(HOST)
    assert not is_gpu("native")
