"""A session on a device with a GPU → what its driver says that it is, and why the entry's target does not fit that."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import tvm

from explorer.line.device import rpc
from explorer.line.probing.answers import Gpu
from explorer.space.gpu_targets import CUDA, OPENCL

GUIDE = "https://tvm.apache.org/docs/install/from_source.html"
# Attribute of a target → what of a GPU it is a claim about, and that in words.
CLAIMS: Mapping[str, tuple[str, str]] = {
    "max_threads_per_block": ("threads", "at most {} threads in a work-group"),
    "max_num_threads": ("threads", "at most {} threads in a work-group"),
    "max_shared_memory_per_block": ("shared_bytes", "{} bytes of shared memory for a work-group"),
    "thread_warp_size": ("warp", "{} threads that run in step"),
}
# Beginning of a GPU's name, in small letters → the family that schedules know it as.
FAMILIES: Mapping[str, str] = {
    **dict.fromkeys((f"mali-g{number}" for number in (31, 51, 52, 71, 72, 76)), "mali-bifrost"),
    "mali": "mali", "qualcomm adreno": "adreno", "adreno": "adreno", "intel": "intel",
    "pthread": "pocl", "cpu-": "pocl", "basic": "pocl",
}  # fmt: skip


class Asked(NamedTuple):
    """A GPU by its driver's account, and why it cannot be measured on; "" if it can be."""

    says: Gpu | None
    refusal: str


def asked(session: Any, device: str, claimed: Mapping[str, Any], compiled_for: Mapping[str, Any]) -> Asked:
    """Ask a device what its GPU is, and compare that with the target; see `refusal` for the parameters."""
    says = described(session, compiled_for["kind"])
    if says is None:
        return Asked(None, missing(session, device, compiled_for["kind"]))
    return Asked(says, refusal(device, claimed, compiled_for, says))


def described(session: Any, kind: str) -> Gpu | None:
    """Ask a device what its first GPU of a kind is; None if it has none."""
    gpu = session.device(kind)
    with suppress(Exception):  # a driver raises what it likes
        if gpu.exist:
            return Gpu(
                kind=kind,
                name=_said(gpu, "device_name"),
                threads=_said(gpu, "max_threads_per_block"),
                # TVM cannot ask OpenCL, and says 1.
                warp=_said(gpu, "warp_size") if kind == CUDA else None,
                shared_bytes=_said(gpu, "max_shared_memory_per_block"),
                units=_said(gpu, "multi_processor_count"),
                memory_bytes=_said(gpu, "total_global_memory"),
                version=_said(gpu, "compute_version"),
                driver=_said(gpu, "driver_version"),
            )
    return None


def _said(gpu: Any, attribute: str) -> Any:
    """Return an attribute of a GPU; None where TVM cannot ask its driver for it."""
    with suppress(Exception):
        return getattr(gpu, attribute)
    return None


def missing(session: Any, device: str, kind: str) -> str:
    """Return why a device has no GPU of a kind, and what to do, in one sentence."""
    name = {OPENCL: "OpenCL", CUDA: "CUDA"}[kind]
    if not session.get_function(rpc.IDLE)(kind):
        return (
            f"the TVM runtime of device '{device}' has no {name}: give it one that is built with USE_{name.upper()}=ON "
            f"({GUIDE}) and start its server again"
        )
    return (
        f"device '{device}' has no {name} device: its TVM runtime has {name}, and no driver there offers it a device; "
        "install the GPU's driver and start its server again"
    )


def refusal(device: str, claimed: Mapping[str, Any], compiled_for: Mapping[str, Any], says: Gpu) -> str:
    """Return why code for a target cannot run on a GPU; "" where nothing speaks against it.

    Parameters
    ----------
    claimed
        The target as the devices file has it.
    compiled_for
        The target itself. What it leaves out, TVM assumes.
    """
    attributes = tvm.target.Target(dict(compiled_for)).attrs
    for attribute, (fact, words) in CLAIMS.items():
        asked, has = attributes.get(attribute), getattr(says, fact)
        if asked is not None and has is not None and int(asked) > has:
            assumed = "" if attribute in claimed else ", TVM's default"
            return (
                f"device '{device}' is {says}, which has {words.format(has)}, and its target's {attribute} is {asked}"
                f"{assumed}; give it a target with {attribute} = {has}"
            )
    arch = str(attributes.get("arch", ""))
    if says.kind == CUDA and says.version and arch.rstrip("a") != fitting_arch(says):
        return (
            f"device '{device}' is {says}, of compute capability {says.version}, and its target's arch is '{arch}'; "
            f"give it a target with arch = '{fitting_arch(says)}'"
        )
    return ""


def fitting(says: Gpu) -> dict[str, Any]:
    """Return the target of a GPU, without its processor's, by what its driver says."""
    claims = {attribute: getattr(says, fact) for attribute, (fact, _) in CLAIMS.items()}
    known = {attribute: value for attribute, value in claims.items() if value is not None}
    if says.kind == CUDA:
        return {"kind": CUDA, **({"arch": fitting_arch(says)} if says.version else {}), **known}
    name = (says.name or "").lower()
    family = next((family for start, family in FAMILIES.items() if name.startswith(start)), None)
    return {"kind": OPENCL, **({"device": family} if family else {}), **known}


def fitting_arch(says: Gpu) -> str:
    """Return the ``arch`` of a GPU's compute capability: of 8.7, sm_87."""
    return f"sm_{str(says.version).replace('.', '')}"
