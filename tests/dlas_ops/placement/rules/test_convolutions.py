"""Convolutions before and after they are placed."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.algorithms import direct, gemm, spatial_pack
from dlas_ops.kernels.operators import depthwise, grouped
from dlas_ops.kernels.operators.points_innermost import POINTS, scatter
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.rules import convolutions
from dlas_ops.placement.value import Value
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.placement.before_after import EPILOGUE, TARGET, Case

relax = tvm.relax

CPU = describe(TARGET)
CONV = Conv(1, 16, 6, 5, 24, (3, 3), padding=(1, 1, 1, 1))
DEPTHWISE = Conv(1, 16, 6, 5, 16, (3, 3), (2, 2), (1, 1, 1, 1), groups=16)
GROUPED = Conv(1, 16, 6, 5, 24, (3, 3), groups=4)


def call_of(conv: Conv, data: Any, weight: Any) -> Any:
    return relax.op.nn.conv2d(
        data, weight, strides=conv.stride, padding=conv.padding, dilation=conv.dilation, groups=conv.groups
    )


@pytest.mark.parametrize("algorithm", [direct, gemm, spatial_pack])
def test_the_algorithm_asked_for_runs_in_its_layout(algorithm: ModuleType) -> None:
    name = algorithm.__name__.split(".")[-1]
    case, weight = Case(name), networks.weights_of(CONV)
    wanted = algorithm.block(16, CPU)
    call = call_of(CONV, case.argument(networks.shape_of(CONV), wanted), relax.const(weight))

    def expected(builder: Any, x: Any) -> Any:
        packed = relax.const(algorithm.pack(weight, CONV, CPU))
        return builder.emit_te(
            lambda x, w: algorithm.compute(CONV, x, w, CPU), x, packed, primfunc_name_hint=f"conv2d_{name}",
            primfunc_attrs=EPILOGUE,
        )  # fmt: skip

    value = case.becomes(convolutions.conv, call, expected)
    assert (value.shape, value.block) == ((1, 24, 6, 5), algorithm.block(24, CPU))
    [layer] = case.context.layers
    assert (value.layer, layer.name, layer.ran) == ("conv2d_0", "conv2d_0", f"{name}/dense")
    assert layer.stored_bytes == algorithm.pack(weight, CONV, CPU).nbytes


def test_another_layout_is_converted_first() -> None:
    case, weight = Case("direct"), networks.weights_of(CONV)
    call = call_of(CONV, case.argument(networks.shape_of(CONV), POINTS), relax.const(weight))

    def expected(builder: Any, x: Any) -> Any:
        wanted, packed = direct.block(16, CPU), relax.const(direct.pack(weight, CONV, CPU))
        x = builder.emit_te(lambda x: scatter(x, networks.shape_of(CONV), wanted), x, primfunc_name_hint="pack")
        return builder.emit_te(
            lambda x, w: direct.compute(CONV, x, w, CPU), x, packed, primfunc_name_hint="conv2d_direct",
            primfunc_attrs=EPILOGUE,
        )  # fmt: skip

    case.becomes(convolutions.conv, call, expected)


def test_the_algorithm_itself_blocks_the_input_of_the_network() -> None:
    case, weight = Case("spatial_pack"), networks.weights_of(CONV)
    call = call_of(CONV, case.argument(networks.shape_of(CONV)), relax.const(weight))
    case.becomes(
        convolutions.conv, call, lambda builder, x: builder.emit_te(
            lambda x, w: spatial_pack.compute(CONV, x, w, CPU), x, relax.const(spatial_pack.pack(weight, CONV, CPU)),
            primfunc_name_hint="conv2d_spatial_pack", primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip


def test_a_depthwise_convolution_keeps_the_block_of_its_input() -> None:
    case, weight = Case("gemm"), networks.weights_of(DEPTHWISE)
    call = call_of(DEPTHWISE, case.argument(networks.shape_of(DEPTHWISE), 8, layer="before"), relax.const(weight))
    value = case.becomes(
        convolutions.conv, call, lambda builder, x: builder.emit_te(
            lambda x, w: depthwise.compute(DEPTHWISE, x, w, CPU), x, relax.const(depthwise.pack(weight, 2, 8)),
            primfunc_name_hint="depthwise_conv2d", primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip
    assert (value.block, value.layer) == (8, "before")
    [layer] = case.context.layers
    assert (layer.asked, layer.ran, layer.reason) == ("depthwise/dense", "depthwise/dense", "")
    assert [layer for layer, _ in case.context.recorder.graph().followers] == []  # "before" has no algorithm


def test_a_grouped_convolution_reads_any_channel_blocks() -> None:
    case, weight = Case("gemm"), networks.weights_of(GROUPED)
    call = call_of(GROUPED, case.argument(networks.shape_of(GROUPED), 4), relax.const(weight))
    block = case.context.block(24)
    value = case.becomes(
        convolutions.conv, call, lambda builder, x: builder.emit_te(
            lambda x, w: grouped.compute(GROUPED, x, w, block, CPU), x, relax.const(grouped.pack(weight, GROUPED, CPU)),
            primfunc_name_hint="grouped_conv2d", primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip
    assert value.block == block


def test_what_the_algorithm_cannot_run_falls_back_and_says_why() -> None:
    case = Case("winograd")
    strided = Conv(1, 16, 6, 5, 24, (3, 3), (2, 2))
    weight = networks.weights_of(strided)
    call = call_of(strided, case.argument(networks.shape_of(strided)), relax.const(weight))
    value, _ = case.place(convolutions.conv, call)
    assert value is not None
    [layer] = case.context.layers
    assert (layer.asked, layer.ran) == ("winograd/dense", f"{convolutions.FALLBACK}/dense")
    assert layer.reason


def test_a_weight_that_is_no_constant_is_left() -> None:
    case = Case()
    call = call_of(CONV, case.argument(networks.shape_of(CONV)), case.argument((24, 16, 3, 3)))
    case.is_left(convolutions.conv, call)


def test_weights_are_rounded_to_half() -> None:
    case, weight = Case("direct", narrow="float16"), networks.weights_of(CONV)
    data = case.argument(networks.shape_of(CONV), direct.block(16, CPU), "float16")
    value, _ = case.place(convolutions.conv, call_of(CONV, data, relax.const(weight)))
    assert value is not None
    [layer] = case.context.layers
    assert layer.dtype == "float16"
    assert layer.stored_bytes == 2 * weight.size


def test_the_shape_is_read_off_the_attributes() -> None:
    conv = Conv(2, 16, 9, 8, 24, (3, 5), (2, 1), (1, 0, 2, 3), (1, 2), 4)
    weight = networks.weights_of(conv)
    call = call_of(conv, relax.Var("x", relax.TensorType(networks.shape_of(conv), "float32")), relax.const(weight))
    data = Value(call.args[0], networks.shape_of(conv))
    assert convolutions.convolution_of("", call.attrs, data, weight).conv == conv
