"""Dense layers before and after they are placed."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import dense as kernel
from dlas_ops.placement.rules import dense
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.placement.before_after import EPILOGUE, TARGET, Case

relax = tvm.relax

CPU = describe(TARGET)


def test_the_weights_are_packed() -> None:
    case, weight = Case(), networks.random((20, 10))
    call = relax.op.matmul(case.argument((2, 20)), relax.const(weight))
    packed = kernel.pack(weight, CPU)
    case.becomes(
        dense.matmul, call, lambda builder, x: builder.emit_te(
            lambda x, w: kernel.compute(x, w, 10, CPU), x, relax.const(packed), primfunc_name_hint="dense",
            primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip
    [layer] = case.context.layers
    assert (layer.name, layer.weight, layer.macs) == ("dense_0", (10, 20), 400)
    assert layer.stored_bytes == packed.nbytes


def test_a_product_of_two_activations_is_left() -> None:
    case = Case()
    case.is_left(dense.matmul, relax.op.matmul(case.argument((2, 20)), case.argument((20, 10))))


def test_a_batch_of_products_is_left() -> None:
    case, weight = Case(), networks.random((20, 10))
    case.is_left(dense.matmul, relax.op.matmul(case.argument((3, 2, 20)), relax.const(weight)))
