"""TVM target → its architecture, and the instruction sets that its code may use, as Linux names them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from dlas_ops._types import Target

# Architecture → a target whose code every processor of it runs under Linux.
BASELINES: Mapping[str, Mapping[str, str]] = {
    "x86_64": {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64"},
    "aarch64": {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "generic"},
}
TRIPLES = {**{name: target["mtriple"] for name, target in BASELINES.items()}, "arm": "arm-linux-gnueabihf"}

# LLVM's name of a feature → the name in /proc/cpuinfo, of the features that arithmetic is compiled to, where both have
# one. Others are left out on purpose: hosts hide many of them from virtual machines, and no network needs them.
_X86 = {
    "sse3": "pni", "ssse3": "ssse3", "sse4.1": "sse4_1", "sse4.2": "sse4_2", "popcnt": "popcnt", "lzcnt": "abm",
    "bmi": "bmi1", "bmi2": "bmi2", "f16c": "f16c", "fma": "fma", "avx": "avx", "avx2": "avx2",
    "avxvnni": "avx_vnni", "gfni": "gfni", "avx512f": "avx512f", "avx512bw": "avx512bw", "avx512cd": "avx512cd",
    "avx512dq": "avx512dq", "avx512vl": "avx512vl", "avx512ifma": "avx512ifma", "avx512vbmi": "avx512vbmi",
    "avx512vbmi2": "avx512_vbmi2", "avx512vnni": "avx512_vnni", "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq", "avx512bf16": "avx512_bf16", "avx512fp16": "avx512_fp16",
    "avx512vp2intersect": "avx512_vp2intersect", "amx-tile": "amx_tile", "amx-int8": "amx_int8",
    "amx-bf16": "amx_bf16",
}  # fmt: skip
_AARCH64 = {
    "neon": "asimd", "lse": "atomics", "rdm": "asimdrdm", "dotprod": "asimddp", "fullfp16": "asimdhp",
    "fp16fml": "asimdfhm", "i8mm": "i8mm", "bf16": "bf16", "sve": "sve", "sve2": "sve2", "sme": "sme",
}  # fmt: skip
_NAMES: Mapping[str, Mapping[str, str]] = {"x86_64": _X86, "aarch64": _AARCH64}

# Architecture → the field of /proc/cpuinfo that names instruction sets.
FIELDS = {"x86_64": "flags", "aarch64": "Features"}

# The first Linux that names an instruction set; those without an entry are named by every kernel that TVM runs on.
SINCE: Mapping[str, tuple[int, int]] = {
    "avx512_bf16": (5, 3), "avx512_vp2intersect": (5, 9), "avx_vnni": (5, 12), "avx512_fp16": (5, 14),
    "amx_tile": (5, 16), "amx_int8": (5, 16), "amx_bf16": (5, 16),
    "sve2": (5, 2), "i8mm": (5, 7), "bf16": (5, 7), "sme": (5, 19),
}  # fmt: skip


def architecture_of(triple: str) -> str:
    """Return the architecture in LLVM's triple of a system, by the name that ``uname -m`` has for it.

    >>> architecture_of("arm64-linux-gnu"), architecture_of("armv7l-linux-gnueabihf")
    ('aarch64', 'arm')
    """
    first = triple.partition("-")[0].lower()
    if first.startswith("arm") and not first.startswith("arm64"):
        return "arm"
    return {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64"}.get(first, first)


def architecture(target: Target) -> str:
    """Return the architecture that `target` is for: without an ``mtriple``, that of this machine."""
    return architecture_of(_triple(target))


def names(architecture: str | None) -> frozenset[str]:
    """Return the names in /proc/cpuinfo of all instruction sets that `needed` may return for an architecture."""
    return frozenset(_NAMES.get(architecture or "", {}).values())


def needed(target: Target) -> set[str]:
    """Return the names in /proc/cpuinfo of what LLVM says that code for `target` may use.

    It is empty for an architecture other than x86_64 and aarch64.
    """
    known = _NAMES.get(architecture(target), {})
    return {known[feature] for feature in _features(target) if feature in known}


def needed_of(target: Target, attribute: str) -> set[str]:
    """Return what `needed` says of one of the attributes of `target` alone, such as ``"+avx512vnni"``."""
    plain = {**BASELINES.get(architecture(target), {}), **_plain(_triple(target))}
    return needed(_target({**plain, "mattr": [attribute]})) - needed(_target(plain))


def attributes(target: Target, offered: Collection[str]) -> list[str]:
    """Return as ``mattr`` what of the instruction sets `offered`, by Linux' names, code for `target` does not use."""
    more = set(offered) - needed(target)
    return sorted(f"+{llvm}" for llvm, linux in _NAMES.get(architecture(target), {}).items() if linux in more)


def lacking(needed: Collection[str], offered: Collection[str], kernel: str | None) -> set[str]:
    """Return what of the instruction sets `needed` is not among those `offered`, though Linux of that release names it.

    Of an unknown `kernel`, each is taken to be named.
    """
    release = _release(kernel)
    return {each for each in needed if release is None or release >= SINCE.get(each, (0, 0))} - set(offered)


def _release(kernel: str | None) -> tuple[int, int] | None:
    numbers = (kernel or "").split(".")[:2]
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 and all(map(str.isdecimal, numbers)) else None


def without(target: Target, sets: Collection[str]) -> list[str]:
    """Return the ``mattr`` that takes instruction sets, by Linux' names, off `target`."""
    return sorted(f"-{llvm}" for llvm, linux in _NAMES.get(architecture(target), {}).items() if linux in sets)


def offered_here(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """Return the instruction sets of this machine's first core; None where Linux does not say them."""
    with suppress(OSError), cpuinfo.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            field, _, words = line.partition(":")
            if field.strip() in FIELDS.values():
                return frozenset(words.split())
    return None


def without_attributes(target: Target) -> Target:
    """Return `target` without its ``mattr``."""
    kept = ("mtriple", "mcpu")
    return _target({"kind": "llvm", **{key: str(target.attrs[key]) for key in kept if key in target.attrs}})


def unknown_mcpu(target: Target) -> str:
    """Return what is wrong with the ``mcpu`` of `target`, ready to follow its name; "" if LLVM knows it.

    LLVM itself compiles for its most common processor then.
    """
    from dlas_ops._tvm import tvm

    known = tvm.target.codegen.llvm_is_valid_cpu
    mcpu, triple = str(target.attrs.get("mcpu", "")), _triple(target)
    if not mcpu or known(mcpu, triple):
        return ""
    for other, its_triple in TRIPLES.items():
        if known(mcpu, its_triple):
            here = architecture(target)
            return f'is a processor of {other}, and the target is for {here}; give it mtriple = "{its_triple}"'
    listed = [str(name) for name in tvm.target.codegen.llvm_get_cpu_archlist(_target(_plain(triple)))]
    near = difflib.get_close_matches(mcpu, listed, n=1, cutoff=0.5)
    return f"is unknown to LLVM for {architecture(target)}" + (f"; did you mean '{near[0]}'?" if near else "")


def unknown_attribute(target: Target, attribute: str) -> bool:
    """Tell whether LLVM does not know an attribute of `target`, such as ``"+avx512vnni"``, and so ignores it."""
    if not attribute.startswith("+"):
        return False
    return attribute[1:] not in _features(_target({**_plain(_triple(target)), "mattr": [attribute]}))


def _plain(triple: str) -> dict[str, Any]:
    return {"kind": "llvm", "mtriple": triple}


def _triple(target: Target) -> str:
    from dlas_ops._tvm import tvm

    return str(target.attrs.get("mtriple") or tvm.target.codegen.llvm_get_system_triple())


def _target(fields: Mapping[str, Any]) -> Target:
    from dlas_ops._tvm import tvm

    return tvm.target.Target(dict(fields))


@cache
def _features(target: Target) -> frozenset[str]:
    from dlas_ops._tvm import tvm

    return frozenset(str(name) for name in tvm.target.codegen.llvm_get_cpu_features(target))
