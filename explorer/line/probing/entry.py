"""Device's tracker address → the target that an entry of the devices file needs, by what the device says of itself."""

from __future__ import annotations

from typing import Any

import tvm

from dlas_ops.processor import instruction_sets
from explorer.core.errors import DeviceError
from explorer.line.device import rpc
from explorer.line.probing import claims, gpus, narrow_types, self_description
from explorer.line.probing.answers import Description
from explorer.line.probing.describe import PATIENCE, SESSION_SECONDS, offered_threads
from explorer.space.gpu_targets import CPU, HOST


def target(tracker: str, key: str, kind: str) -> dict[str, Any]:
    """Return the TVM target of `kind` of the device that is registered as `key`.

    Raises
    ------
    DeviceError
        If the device does not answer, does not say what it is, or has no GPU of that kind.
    """
    session = rpc.connect(tracker, key, SESSION_SECONDS, PATIENCE)
    says, failure, _ = self_description.described(session, "")
    if says.architecture not in instruction_sets.BASELINES:
        cause = f"device '{key}' at {tracker} does not say what it is ({failure})"
        raise DeviceError(f"{cause}; write its entry by hand, as docs/devices.md shows")
    processor = {**fitting(says), "num-cores": offered_threads(session)}
    if kind == CPU:
        return processor
    gpu = gpus.described(session, kind)
    if gpu is None:
        raise DeviceError(gpus.missing(session, key, kind))
    found = {**gpus.fitting(gpu), HOST: processor}
    return narrow_types.fitting(found, narrow_types.with_abilities(session, gpu, found))


def fitting(says: Description) -> dict[str, Any]:
    """Return a target for all that a device can: by LLVM's name of its processor, else by its instruction sets."""
    plain: dict[str, Any] = {"kind": "llvm", "mtriple": instruction_sets.TRIPLES[str(says.architecture)]}
    mcpu = claims.fitting_mcpu(says)
    if not mcpu or mcpu == says.mcpu:
        return {**plain, **({"mcpu": mcpu} if mcpu else {})}
    named = {**plain, "mcpu": mcpu}
    more = instruction_sets.attributes(tvm.target.Target(named), says.instruction_sets or ())
    return {**named, "mattr": more} if more else named
