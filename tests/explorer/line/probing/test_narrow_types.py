"""Narrow types on devices: what the driver compiles of them, and what is said of a space that asks for what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tvm
from tvm import rpc as tvm_rpc

from dlas_ops.processor.targets import native_target
from explorer.line.probing import narrow_types
from explorer.line.probing.answers import Gpu
from explorer.space import gpu_targets
from tests import opencl

HOST = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76"}
MALI = {"kind": "opencl", "device": "mali", "host": HOST}
OLD = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v2"}
SAYS = Gpu("opencl", "Mali-G57", float16=True, int8_dot=True)
BOTH = {"float16": ["float16", "channel_pruning+float16"], "int8": ["int8"]}


def on_this(family: str) -> Gpu:
    """Return what this machine's OpenCL device says, as one of a family."""
    target = {"kind": "opencl", "device": family, "host": native_target()}
    session = tvm_rpc.LocalSession()
    return narrow_types.with_abilities(session, Gpu("opencl", session.device("opencl").device_name), target)


@opencl.needed
def test_a_driver_compiles_what_its_extensions_say() -> None:
    assert on_this("pocl").float16 is ("cl_khr_fp16" in opencl.extensions())
    assert on_this("pocl").int8_dot is None, "the target stands for no such instruction"
    assert on_this("mali").int8_dot is ("cl_arm_integer_dot_product_accumulate_int8" in opencl.extensions())


@opencl.needed
def test_a_program_that_runs_is_compiled() -> None:
    target = tvm.target.Target({"kind": "opencl", "device": "pocl", "host": native_target()})
    assert narrow_types._compiles(tvm_rpc.LocalSession(), target, narrow_types._products(target))


def test_cuda_has_all_of_it_by_its_compute_capability() -> None:
    def found(arch: str) -> Gpu:
        return narrow_types.with_abilities(None, Gpu("cuda"), {"kind": "cuda", "arch": arch, "host": HOST})

    assert (found("sm_87").float16, found("sm_87").int8_dot) == (True, True)
    assert (found("sm_60").float16, found("sm_60").int8_dot) == (True, False)
    assert narrow_types.refusal("board", BOTH, {"kind": "cuda", "arch": "sm_60", "host": HOST}, found("sm_87")) == ""


@pytest.mark.parametrize(
    ("asked", "says"), [(BOTH, SAYS), (BOTH, Gpu("opencl")), ({}, replace(SAYS, float16=False, int8_dot=False))]
)
def test_what_runs_and_what_is_not_asked_is_not_refused(asked: Any, says: Gpu) -> None:
    assert narrow_types.refusal("board", asked, MALI, says) == ""
    assert narrow_types.refusal("board", asked, HOST, None) == ""


def test_a_gpu_has_no_bfloat16_and_every_processor_has() -> None:
    asked = {"bfloat16": ["bfloat16", "weight_pruning+bfloat16"]}
    said = narrow_types.refusal("board", asked, MALI, SAYS)
    assert said.startswith("device 'board' is a GPU, for which there are no programs in bfloat16, and the search space")
    assert "bfloat16, weight_pruning+bfloat16" in said
    assert narrow_types.refusal("old", asked, {"kind": "llvm", "mcpu": "x86-64-v2"}, None) == ""


def test_float16_that_a_device_lacks_is_one_sentence_with_what_to_forbid() -> None:
    rest = (
        ", and the search space asks for compression float16, channel_pruning+float16 there; forbid that with a "
        "constraint, or take it from the axis"
    )
    said = narrow_types.refusal("board", BOTH, MALI, replace(SAYS, float16=False))
    assert said == f"device 'board' is Mali-G57, whose OpenCL lacks float16 (cl_khr_fp16){rest}"
    said = narrow_types.refusal("old", BOTH, OLD, None)
    assert said == (f"device 'old' has no instruction that converts float16 by its target's mcpu 'x86-64-v2'{rest}")


def test_products_of_int8_that_a_device_lacks_name_the_family_without() -> None:
    says = replace(SAYS, int8_dot=False)
    said = narrow_types.refusal("board", {"int8": ["int8"]}, MALI, says)
    assert said == (
        "device 'board' is Mali-G57, whose OpenCL lacks arm_dot_acc, and int8 for its target's device 'mali' needs "
        'that; give it a target with device = "mali-bifrost"'
    )
    mended = {**MALI, "device": "mali-bifrost"}
    assert gpu_targets.wrong(mended) == ""
    assert narrow_types.refusal("board", {"int8": ["int8"]}, mended, replace(says, int8_dot=None)) == ""


@pytest.mark.parametrize(
    ("family", "dot", "fits"), [("mali", False, "mali-bifrost"), ("mali", True, "mali"), ("adreno", None, "adreno")]
)
def test_an_entry_names_the_family_that_has_what_the_driver_compiles(family: str, dot: bool | None, fits: str) -> None:
    found = narrow_types.fitting({**MALI, "device": family}, replace(SAYS, int8_dot=dot))
    assert found == {**MALI, "device": fits}
