"""Target of a bundle and a device that answers → why its code cannot run there; runs in a TVM worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer.line.device import rpc
from explorer.line.probing import claims, gpus, self_description
from explorer.line.probing.describe import PATIENCE, SESSION_SECONDS, likely, of_processor
from explorer.space.gpu_targets import host_of, is_gpu

MEND = "; give it a target"  # how the end of a refusal begins: the bundle's target is what it is


def misfit(tracker: str, key: str, target: Mapping[str, Any], device: str) -> str:
    """Return why code for `target` cannot run on the device that is registered as `key`; empty if it can.

    Raises
    ------
    DeviceError
        If the device does not answer, or serves another session.
    """
    session = rpc.connect(tracker, key, SESSION_SECONDS, PATIENCE)
    says = self_description.described(session, likely(target)).says
    refused = claims.refusal(device, of_processor(target), host_of(target), says)
    if not refused and is_gpu(target):
        refused = gpus.asked(session, device, target, dict(target)).refusal
    return refused.partition(MEND)[0]
