"""Functions that multiply matrices: names, what a register is said to hold, and who may use them."""

from __future__ import annotations

import re

from dlas_ops.processor import matrix
from dlas_ops.processor.matrix import Sizes
from tests.dlas_ops import matrices

SIZES = Sizes("int8", 2, 2, 14, 12)


def test_functions_of_other_sizes_have_other_names() -> None:
    names = {
        matrix.function(step, sizes)
        for step in (matrix.BEGIN, matrix.MULTIPLY)
        for sizes in (SIZES, SIZES._replace(rows=7), SIZES._replace(dtype="bfloat16"), SIZES._replace(vectors=1))
    }
    assert len(names) == 8
    defined = re.findall(r"define .*? @(\w+)\(", matrix.definitions(SIZES))
    steps = (matrix.BEGIN, matrix.ZERO, matrix.MULTIPLY, matrix.STORE, matrix.END)
    assert defined == [matrix.function(step, SIZES) for step in steps]


def test_registers_are_said_to_hold_sums_then_data_then_weights() -> None:
    [said] = re.findall(r'_sizes = .*? c"(.*?)"', matrix.definitions(SIZES))
    content = bytes.fromhex(said.replace("\\", ""))
    assert len(content) == 64
    widths = [int.from_bytes(content[at : at + 2], "little") for at in range(16, 32, 2)]
    # 14 points by 16 sums of 4 bytes; 14 points by 12 groups; 12 groups by 16 channels.
    assert widths == [64, 64, 64, 64, 48, 48, 64, 64]
    assert [*content[48:56]] == [14, 14, 14, 14, 14, 14, 12, 12]
    assert (content[0], *content[1:16], *content[32:48], *content[56:]) == (1, *[0] * 39)


def test_eight_registers_hold_two_by_two() -> None:
    assert matrix.fits(2, 2)
    assert matrix.fits(1, 3)
    assert not matrix.fits(2, 3)


def test_only_a_processor_with_matrices_is_given_them() -> None:
    assert matrix.is_allowed() == matrices.are_real()
