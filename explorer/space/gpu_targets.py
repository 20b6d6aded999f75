"""A target of kind opencl or cuda in the devices file → what is wrong with it, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from dlas_ops.processor.gpus import FAMILIES
from explorer.core.errors import did_you_mean

CPU, OPENCL, CUDA = "llvm", "opencl", "cuda"
HOST = "host"
# What a GPU offers at least, and its own processor's target; the devices file's other keys are its kind's.
COMMON = ("max_num_threads", "max_threads_per_block", "max_shared_memory_per_block", "thread_warp_size")
KEYS: Mapping[str, tuple[str, ...]] = {OPENCL: ("device", *COMMON, HOST), CUDA: ("arch", *COMMON, HOST)}


def is_gpu(target: Mapping[str, Any] | str) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether a target of the devices file is a GPU's."""
    return isinstance(target, Mapping) and target.get("kind") in KEYS


def host_of(target: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the target of the processor that runs a device's server: of a CPU, the target itself."""
    host: Mapping[str, Any] = target[HOST] if is_gpu(target) else target
    return host


def wrong(target: Mapping[str, Any]) -> str:
    """Return what is wrong with the target of a GPU; "" if nothing is."""
    kind = str(target["kind"])
    for key in target:
        if key != "kind" and key not in KEYS[kind]:
            where = "; it belongs into the target's host" if key in ("mtriple", "mcpu", "mattr", "num-cores") else ""
            return f"a target of kind '{kind}' takes no {key}{where or did_you_mean(key, KEYS[kind])}"
    for key in COMMON:
        value = target.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return f"{key} of a target is a number above 0, not {value!r}"
    host = target.get(HOST, {"kind": CPU})
    if not isinstance(host, Mapping) or host.get("kind") != CPU:
        example = f"{{ kind = '{CPU}', mcpu = 'cortex-a76' }}"
        return f"host of a target is the target of the GPU's processor, such as {example}, not {host!r}"
    return _cuda(target) if kind == CUDA else _opencl(target)


def _cuda(target: Mapping[str, Any]) -> str:
    arch = target.get("arch")
    if isinstance(arch, str) and arch.startswith("sm_") and arch[3:].rstrip("a").isdecimal():
        return ""
    said = f", not {arch!r}" if "arch" in target else ""
    return f"a target of kind 'cuda' needs arch, sm_ and the GPU's compute capability, such as arch = 'sm_87'{said}"


def _opencl(target: Mapping[str, Any]) -> str:
    device = target.get("device", FAMILIES[0])
    if isinstance(device, str) and device.startswith(FAMILIES):
        return ""
    return f"there are no schedules for device {device!r} of kind 'opencl'{did_you_mean(str(device), FAMILIES)}"
