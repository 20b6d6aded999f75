"""TVM's lowering with passes of our own: the sums of a tile stay on the stack, and weights are asked for ahead."""

from __future__ import annotations

import pytest

from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.schedule.tunables import Choice
from tests.dlas_ops.assembly import program_text
from tests.dlas_ops.tensor_programs import program, scheduled

HEAP = "TVMBackendAllocWorkspace"
# Its programs copy no input, so that all of their buffers are sums.
POINTWISE = Conv(1, 32, 16, 16, 64, (1, 1))


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
    assert HEAP in program_text(function, mcpu, "s_tir", "ll"), "what TVM makes of it by itself"
    assert HEAP not in program_text(function, mcpu, form="ll")


def test_copies_of_the_input_are_still_taken_from_the_heap() -> None:
    """They may be too large for the stack."""
    conv = Conv(1, 32, 16, 16, 64, (3, 3), padding=(1, 1, 1, 1))
    function = scheduled(program("znver4", conv, "direct/dense"), "znver4")
    assert HEAP in program_text(function, "znver4", form="ll")


def test_marked_loops_ask_ahead_and_sums_stay_on_the_stack_at_once() -> None:
    choice = {"tile": (4, 4, 1), "prefetch": 1}
    function = scheduled(program("znver4", POINTWISE, "direct/dense"), "znver4", choice)
    text = program_text(function, "znver4", form="ll")
    assert HEAP not in text
    assert "call void @llvm.prefetch" in text
    assert "call void @llvm.prefetch" not in program_text(function, "znver4", "s_tir", "ll")
