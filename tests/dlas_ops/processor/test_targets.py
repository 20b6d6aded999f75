"""The target of this machine, and which description a target has."""

from __future__ import annotations

import platform

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.processor import instruction_sets, matrix
from dlas_ops.processor.cpus import Cpu, describe_cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import describe, native_target


def test_native_target_is_a_tvm_target() -> None:
    assert tvm.target.Target(native_target()).kind.name == "llvm"


def test_what_this_machine_hides_of_its_processor_is_not_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual machine or a sandbox may hide what a processor of that name has."""
    offered = instruction_sets.offered_here()
    if not {"avx512f", "avx2"} <= (offered or set()):
        pytest.skip("this processor has no AVX-512 to hide")
    assert offered is not None
    shown = frozenset(name for name in offered if not name.startswith("avx512"))
    monkeypatch.setattr(instruction_sets, "offered_here", lambda: shown)
    target = tvm.target.Target(native_target())
    assert not any(name.startswith("avx512") for name in instruction_sets.needed(target))
    assert describe(target).lanes() == 8


def test_what_an_old_linux_does_not_name_is_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sapphire = tvm.target.Target({"kind": "llvm", "mcpu": "sapphirerapids", "mtriple": "x86_64-linux-gnu"})
    named = instruction_sets.needed(sapphire) - set(instruction_sets.SINCE)
    monkeypatch.setattr(tvm.target.codegen, "llvm_get_system_cpu", lambda: "sapphirerapids")
    monkeypatch.setattr(instruction_sets, "offered_here", lambda: frozenset(named))
    monkeypatch.setattr(platform, "release", lambda: "4.18.0-553.el8")
    # But for matrices, which it gives to nobody.
    monkeypatch.setattr(matrix, "is_allowed", lambda: False)
    assert native_target()["mattr"] == ["-amx-bf16", "-amx-int8", "-amx-tile"]


def test_matrices_are_compiled_for_only_where_linux_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sapphire = tvm.target.Target({"kind": "llvm", "mcpu": "sapphirerapids"})
    if instruction_sets.architecture(sapphire) != "x86_64":
        pytest.skip("this machine is no x86")
    monkeypatch.setattr(tvm.target.codegen, "llvm_get_system_cpu", lambda: "sapphirerapids")
    monkeypatch.setattr(instruction_sets, "offered_here", lambda: frozenset(instruction_sets.needed(sapphire)))
    for allowed in (False, True):
        monkeypatch.setattr(matrix, "is_allowed", lambda allowed=allowed: allowed)
        assert describe_cpu(tvm.target.Target(native_target())).matrix == allowed


def test_the_kind_of_a_target_decides_its_description() -> None:
    assert isinstance(describe(tvm.target.Target(native_target())), Cpu)
    assert isinstance(describe(tvm.target.Target({"kind": "opencl", "device": "mali", "host": "llvm"})), Gpu)
