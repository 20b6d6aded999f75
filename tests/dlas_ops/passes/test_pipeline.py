"""TVM's lowering with passes of our own: the sums of a tile stay on the stack, in every program of a module."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.schedule.tunables import Choice
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program, scheduled

HEAP = "TVMBackendAllocWorkspace"
# Whose programs copy no input, so that all of their buffers are sums.
POINTWISE = Conv(1, 32, 16, 16, 64, (1, 1))


def code(module: IRModule, mcpu: str, pipeline: str) -> str:
    """Return what LLVM is given for `module`."""
    return str(tvm.compile(module, named(mcpu), tir_pipeline=pipeline).mod.inspect_source("ll"))


@pytest.mark.parametrize(
    ("mcpu", "name", "choice"),
    [
        # 16 sums or more of 64 bytes each.
        ("x86-64-v4", "direct/dense", {"tile": (4, 4, 1)}),
        ("znver4", "gemm/dense", {"tile": (1, 8, 2)}),
        # The sums of a row of non-zeros, and those of all filters of a task.
        ("znver4", "gemm/csr", {"vectors": 16}),
        ("x86-64-v2", "gemm/csr", {"vectors": 8, "filters": 64}),
        ("cortex-a72", "gemm/csr", {"vectors": 8, "filters": 64}),
    ],
)
def test_sums_of_a_kibibyte_and_more_are_taken_from_no_heap(mcpu: str, name: str, choice: Choice) -> None:
    function = scheduled(program(mcpu, POINTWISE, name, density=0.5), mcpu, choice)
    module = tvm.IRModule({"main": function})
    assert HEAP in code(module, mcpu, "s_tir"), "what TVM makes of it by itself"
    assert HEAP not in code(module, mcpu, PIPELINE)


def test_copies_of_the_input_are_still_taken_from_the_heap() -> None:
    """They may be too large for the stack."""
    conv = Conv(1, 32, 16, 16, 64, (3, 3), padding=(1, 1, 1, 1))
    module = tvm.IRModule({"main": scheduled(program("znver4", conv, "direct/dense"), "znver4")})
    assert HEAP in code(module, "znver4", PIPELINE)


def test_every_program_of_a_module_is_lowered_so() -> None:
    large = scheduled(program("znver4", POINTWISE, "direct/dense"), "znver4", {"tile": (4, 4, 1)})
    asking = scheduled(program("znver4", POINTWISE, "direct/dense"), "znver4", {"tile": (4, 4, 1), "prefetch": 1})
    module = tvm.IRModule({name: each.with_attr("global_symbol", name) for name, each in
                           (("large", large), ("asking", asking))})  # fmt: skip
    text = code(module, "znver4", PIPELINE)
    assert HEAP not in text
    assert text.count("call void @llvm.prefetch") > 0
