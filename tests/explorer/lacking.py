"""This machine → a target for it that asks for an instruction set which it lacks."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

# LLVM's name and that of /proc/cpuinfo; no processor has all of its architecture.
RARE = {
    "x86_64": (("avx512vp2intersect", "avx512_vp2intersect"), ("amx-tile", "amx_tile")),
    "aarch64": (("sme", "sme"), ("sve2", "sve2")),
}


def lacking_target() -> tuple[dict[str, Any], str]:
    """Return the target, and the instruction set by the name of /proc/cpuinfo."""
    words = set(Path("/proc/cpuinfo").read_text().split())
    attribute, name = next((llvm, linux) for llvm, linux in RARE[platform.machine()] if linux not in words)
    return {"kind": "llvm", "mattr": [f"+{attribute}"]}, name


def devices_file(path: Path, **targets: dict[str, Any]) -> Path:
    """Write a devices file of loopback devices with these targets, and return its path."""
    entries = []
    for name, target in targets.items():
        fields = ", ".join(f"{key} = {value!r}" for key, value in target.items())
        entries.append(f"[{name}]\ntarget = {{ {fields} }}\n")
    path.write_text("\n".join(entries))
    return path
