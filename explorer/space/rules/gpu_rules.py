"""Axes and the devices that they name → constraints on stacks for GPUs, which take less than a processor does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from explorer.core import plugins
from explorer.core.configuration import parts, takes_max_drop
from explorer.space.axes import Axis, Choice
from explorer.space.devices import Device
from explorer.space.rules.constraints import Constraint

# Axis → the choices that a GPU takes, and why no other.
TAKES: Mapping[str, tuple[tuple[Choice, ...], str]] = {
    "threads": ((1,), "is a GPU, whose networks take one thread of its processor; allowed: threads 1"),
}


def gpu_rules(axes: Mapping[str, Axis], devices: Mapping[str, Device]) -> tuple[Constraint, ...]:
    """Return the constraints for every choice of `axes` on axis ``device`` that names a GPU of `devices`."""
    return tuple(rule for choice in axes["device"].choices for rule in _rules(str(choice), axes, devices))


def _rules(choice: str, axes: Mapping[str, Axis], devices: Mapping[str, Device]) -> Iterator[Constraint]:
    gpu = next((name for name in parts(choice) if name in devices and devices[name].is_gpu), None)
    if gpu is None:
        return
    for axis, (taken, reason) in TAKES.items():
        yield Constraint({"device": (choice,)}, {axis: taken}, {}, "", f"device {gpu} {reason}")
    whole = tuple(each for each in axes["compression"].choices if not takes_max_drop(str(each)))
    if len(whole) < len(axes["compression"].choices):
        reason = f"device {gpu} is a GPU, and layers are timed on processors, which decides where int8_mixed has int8"
        yield Constraint({"device": (choice,)}, {"compression": whole}, {}, "", f"{reason}; allowed: compression int8")
    for algorithm in axes["algorithm"].choices:
        formats = plugins.literal("algorithm", str(algorithm), "GPU_FORMATS", default=("dense",))
        reason = f"device {gpu} is a GPU, where algorithm {algorithm} has no kernels for csr; allowed: format dense"
        if "csr" not in formats:
            yield Constraint({"device": (choice,), "algorithm": (algorithm,)}, {"format": formats}, {}, "", reason)
