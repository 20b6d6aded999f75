"""The target of this machine, and which description a target has."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import describe, native_target


def test_native_target_is_a_tvm_target() -> None:
    assert tvm.target.Target(native_target()).kind.name == "llvm"


def test_the_kind_of_a_target_decides_its_description() -> None:
    assert isinstance(describe(tvm.target.Target(native_target())), Cpu)
    assert isinstance(describe(tvm.target.Target({"kind": "opencl", "device": "mali", "host": "llvm"})), Gpu)
