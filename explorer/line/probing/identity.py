"""What a device says of itself → the part of it that is the same in every session and tells models of devices apart.

Left out are what changes from session to session (clock, temperature, free memory, governor), what its system's
updates change (kernel), and what boards of one model differ in (serial numbers, memory).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlas_ops.processor import instruction_sets
from explorer.line.probing.answers import Description, Gpu


def facts(says: Description, gpu: Gpu | None, core_kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Return fact → value, of those that can be read.

    Parameters
    ----------
    core_kinds
        Of the cores that the device's server may use; see `explorer.line.probing.self_description.Reached`.
    """
    known = instruction_sets.names(says.architecture)
    own = {
        "architecture": says.architecture,
        "processor": says.model or says.mcpu,
        # Linux makes up others, which change with its version.
        "instruction_sets": sorted(known & set(says.instruction_sets or ())),
        "core_kinds": list(core_kinds),
        "gpu": gpu and _facts_of(gpu),
    }
    return {name: value for name, value in own.items() if value}


def _facts_of(gpu: Gpu) -> dict[str, Any]:
    """Return the facts of a GPU; its driver compiles the kernels of OpenCL."""
    own = {"name": gpu.name, "units": gpu.units, "version": gpu.version, "driver": gpu.driver}
    return {name: value for name, value in own.items() if value is not None}
