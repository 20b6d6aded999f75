"""Matrix products before and after they are placed."""

from __future__ import annotations

from math import prod

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import Shape
from dlas_ops.kernels.operators import batched
from dlas_ops.kernels.operators import dense as kernel
from dlas_ops.placement.rules import dense
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.placement.before_after import EPILOGUE, TARGET, Case

relax = tvm.relax

CPU = describe(TARGET)


@pytest.mark.parametrize("leading", [(2,), (3, 2), (1, 3, 2)])
def test_the_weights_are_packed(leading: Shape) -> None:
    case, weight = Case(), networks.random((20, 10))
    call = relax.op.matmul(case.argument((*leading, 20)), relax.const(weight))
    packed = kernel.pack(weight, CPU)
    case.becomes(
        dense.matmul, call, lambda builder, x: builder.emit_te(
            lambda x, w: kernel.compute(x, w, 10, CPU), x, relax.const(packed), primfunc_name_hint="dense",
            primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip
    [layer] = case.context.layers
    assert (layer.name, layer.weight, layer.macs) == ("dense_0", (10, 20), prod(leading) * 200)
    assert (layer.asked, layer.ran, layer.reason) == ("gemm/dense", "gemm/dense", "")
    assert layer.stored_bytes == packed.nbytes


def test_a_product_of_two_activations() -> None:
    case = Case()
    call = relax.op.matmul(case.argument((4, 2, 20)), case.argument((20, 10)))
    case.becomes(
        dense.matmul, call, lambda builder, x, y: builder.emit_te(
            lambda x, y: batched.compute(x, y, CPU), x, y, primfunc_name_hint="matmul", primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip
    [layer] = case.context.layers
    assert (layer.name, layer.weight, layer.macs, layer.ran) == ("matmul_0", (), 4 * 2 * 10 * 20, "gemm/dense")


def test_several_matrices_of_weights_are_multiplied_batch_by_batch() -> None:
    case, weight = Case(), networks.random((3, 20, 10))
    value, _ = case.place(dense.matmul, relax.op.matmul(case.argument((3, 2, 20)), relax.const(weight)))
    assert value is not None
    assert [layer.operator for layer in case.context.layers] == ["matmul"]


def test_a_vector_is_left() -> None:
    case = Case()
    case.is_left(dense.matmul, relax.op.matmul(case.argument((2, 20)), case.argument((20,))))


def test_csr_falls_back_where_it_is_not_implemented() -> None:
    case, weight = Case("direct/csr", narrow="float16"), networks.random((20, 10))
    case.place(dense.matmul, relax.op.matmul(case.argument((2, 20)), relax.const(weight)))
    [layer] = case.context.layers
    assert (layer.asked, layer.ran) == ("gemm/csr", "gemm/dense")
    assert layer.reason == "gemm/csr does not implement float16"
