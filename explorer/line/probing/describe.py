"""Device's tracker address and its target → what the engine must know of it, or why it cannot be measured on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import tvm

from dlas_ops.processor import instruction_sets, targets
from explorer.core.errors import DeviceError
from explorer.line.device import rpc
from explorer.line.device.tracker import how_to_serve
from explorer.line.probing import claims, gpus, identity, narrow_types, self_description
from explorer.line.probing.narrow_types import Asked
from explorer.space.gpu_targets import HOST, host_of, is_gpu

SESSION_SECONDS = 60
PATIENCE = 3.0  # seconds that a device may serve another session until that is said


def describe(
    tracker: str,
    key: str,
    target: Mapping[str, Any] | str,
    threads: int,
    device: str,
    asked: Asked = MappingProxyType({}),
) -> dict[str, Any]:
    """Return ``{"target": {...}, "threads": n, "lanes": m, "facts": {...}}`` of a device that answers.

    Its thread pool offers n threads, and a vector register of the target holds m float32; the facts are those of
    `explorer.line.probing.identity`.

    Parameters
    ----------
    target
        A TVM target as a dict, or ``"native"`` for this machine's own processor.
    threads
        The most threads that the study asks of the device.
    device
        Its name, for messages.
    asked
        Each narrow dtype that the study asks of the device, and the compressions that end in it.

    Raises
    ------
    DeviceError
        If the device does not answer, serves another session, offers fewer threads, is not what its target says, or
        cannot run a dtype that is asked of it.
    """
    session = rpc.connect(tracker, key, SESSION_SECONDS, PATIENCE)
    offered = offered_threads(session)
    if offered < threads:
        raise DeviceError(
            f"device '{key}' at {tracker} runs {offered} threads and the search space asks for {threads}; "
            f"{how_to_serve(tracker, key, threads)}"
        )
    compiled_for = own_target(target)
    says, _, core_kinds = self_description.described(session, likely(compiled_for))
    refused = claims.refusal(device, of_processor(target), host_of(compiled_for), says)
    gpu = None
    if not refused and is_gpu(target):
        gpu, refused = gpus.asked(session, device, target, compiled_for)
        if gpu and asked and not refused:
            gpu = narrow_types.with_abilities(session, gpu, compiled_for)
    if refused := refused or narrow_types.refusal(device, asked, compiled_for, gpu):
        raise DeviceError(refused)
    lanes = targets.describe(tvm.target.Target(compiled_for)).lanes()
    facts = identity.facts(says, gpu, core_kinds)
    return {"target": compiled_for, "threads": offered, "lanes": lanes, "facts": facts}


def offered_threads(session: Any) -> int:
    """Return how many threads a device's server computes on."""
    return int(session.get_function("runtime.NumThreads")())


def own_target(target: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return the TVM target of an entry: what it leaves out, or calls ``"native"``, is that of this machine."""
    if isinstance(target, str):
        return targets.native_target()
    return {**target, HOST: target.get(HOST) or targets.native_target()} if is_gpu(target) else dict(target)


def of_processor(target: Mapping[str, Any] | str) -> Mapping[str, Any] | str:
    """Return what an entry's target says of the device's processor: a GPU's may say nothing, which is ``"native"``."""
    return target.get(HOST, claims.NATIVE) if is_gpu(target) else target


def likely(target: Mapping[str, Any]) -> str:
    """Return the architecture that a target is for."""
    return instruction_sets.architecture(tvm.target.Target(dict(host_of(target))))
