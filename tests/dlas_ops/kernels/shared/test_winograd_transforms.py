"""The transforms of Winograd's algorithm: they convolve, and some of a kernel's rows give the others."""

from __future__ import annotations

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared.winograd_transforms import POINTS, entry, matrices
from tests.dlas_ops import small_networks as networks


@pytest.mark.parametrize("m", POINTS)
def test_the_transforms_convolve(m: int) -> None:
    outputs, kernel, inputs = matrices(m)
    data, weight = networks.random((m + 2,)).astype(np.float64), networks.random((3,), 2).astype(np.float64)
    actual = outputs @ ((kernel @ weight) * (inputs @ data))
    np.testing.assert_allclose(actual, np.correlate(data, weight), atol=1e-12)


@pytest.mark.parametrize("m", POINTS)
def test_entries_are_those_of_the_product(m: int) -> None:
    """As straight-line code, whatever terms share their sums."""
    _, _, inputs = matrices(m)
    values = [float(value) for value in networks.random((m + 2,))]
    for groups in ([range(m + 2)], [range(m, -1, -2), range(m + 1, -1, -2)]):
        for row in range(m + 2):
            held = [tvm.tirx.const(value, "float32") for value in values]
            found = tvm.sym.Analyzer().simplify(entry(inputs, groups, tvm.tirx.const(row, "int32"), held))
            while isinstance(found, tvm.ir.Call):  # if_then_else of a number
                found = found.args[1] if int(tvm.sym.Analyzer().simplify(found.args[0])) else found.args[2]
            assert float(found.value) == pytest.approx(float(inputs[row] @ values), abs=1e-5)
