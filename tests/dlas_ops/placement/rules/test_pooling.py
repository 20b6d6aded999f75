"""Pooling before and after it is placed."""

from __future__ import annotations

from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import layout
from dlas_ops.kernels.operators import pooling as kernel
from dlas_ops.kernels.operators.points_innermost import POINTS, scatter
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.rules import pooling
from dlas_ops.processor.targets import describe
from tests.dlas_ops.placement.before_after import EPILOGUE, TARGET, Case, tensor

relax = tvm.relax

CPU = describe(TARGET)
SHAPE = (1, 16, 9, 9)
WINDOW = Conv(1, 16, 9, 9, 16, (3, 3), (2, 2), (1, 1, 1, 1), groups=16)


def pooled(
    builder: Any, x: Any, kind: str, window: Conv = WINDOW, count: bool = False, beyond: tuple[int, int] = (0, 0)
) -> Any:
    return builder.emit_te(
        lambda x: kernel.compute(window, x, kind, count, CPU, beyond=beyond), x, primfunc_name_hint=f"{kind}_pool2d",
        primfunc_attrs=EPILOGUE,
    )  # fmt: skip


def test_max_pooling_keeps_channel_blocks() -> None:
    case = Case()
    call = relax.op.nn.max_pool2d(case.argument(SHAPE, 4, layer="first"), (3, 3), (2, 2), (1, 1, 1, 1))
    value = case.becomes(pooling.max_pool2d, call, lambda builder, x: pooled(builder, x, "max"))
    assert (value.shape, value.block, value.layer) == ((1, 16, 5, 5), 4, "first")
    [layer] = case.context.layers
    assert (layer.operator, layer.ran, layer.stride) == ("max_pool2d", "window", (2, 2))


@pytest.mark.parametrize(("block", "convert"), [(0, layout.pack), (POINTS, scatter)])
def test_any_other_layout_is_brought_into_channel_blocks(block: int, convert: Any) -> None:
    case = Case()
    call = relax.op.nn.max_pool2d(case.argument(SHAPE, block), (3, 3), (2, 2), (1, 1, 1, 1))
    own = case.context.block(16)

    def expected(builder: Any, x: Any) -> Any:
        packed = builder.emit_te(lambda x: convert(x, SHAPE, own), x, primfunc_name_hint="pack")
        return pooled(builder, packed, "max")

    assert case.becomes(pooling.max_pool2d, call, expected).block == own


@pytest.mark.parametrize("count", [False, True])
def test_average_pooling_counts_the_border_where_asked(count: bool) -> None:
    case = Case()
    call = relax.op.nn.avg_pool2d(case.argument(SHAPE, 8), (3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=count)
    case.becomes(pooling.avg_pool2d, call, lambda builder, x: pooled(builder, x, "avg", count=count))


@pytest.mark.parametrize("count", [False, True])
def test_average_pooling_that_rounds_up_counts_no_row_beyond_the_border(count: bool) -> None:
    case = Case()
    call = relax.op.nn.avg_pool2d(
        case.argument(SHAPE, 8), (3, 2), (2, 2), (1, 0, 1, 0), ceil_mode=True, count_include_pad=count
    )
    window = Conv(1, 16, 9, 9, 16, (3, 2), (2, 2), (1, 0, 1, 1), groups=16)
    value = case.becomes(
        pooling.avg_pool2d, call, lambda builder, x: pooled(builder, x, "avg", window, count, beyond=(0, 1))
    )
    assert (value.shape, value.block) == ((1, 16, 5, 5), 8)


def test_a_dilated_average_is_left() -> None:
    case = Case()
    case.is_left(pooling.avg_pool2d, relax.op.nn.avg_pool2d(case.argument(SHAPE, 8), (2, 2), dilation=(2, 2)))


@pytest.mark.parametrize("keepdims", [False, True])
def test_a_mean_over_maps_is_global_pooling(keepdims: bool) -> None:
    case = Case()
    call = relax.op.mean(case.argument(SHAPE, 8), [2, -1], keepdims)

    def expected(builder: Any, x: Any) -> Any:
        means = builder.emit_te(
            lambda x: kernel.mean(x, 16, CPU), x, primfunc_name_hint="global_avg_pool2d", primfunc_attrs=EPILOGUE
        )
        return means if keepdims else builder.emit(relax.op.reshape(means, (1, 16)))

    assert case.becomes(pooling.mean, call, expected).block == 0


def test_a_mean_over_channels_or_of_a_plain_tensor_is_left() -> None:
    case = Case()
    case.is_left(pooling.mean, relax.op.mean(case.argument(SHAPE, 8), [1]))
    case = Case()
    case.is_left(pooling.mean, relax.op.mean(case.argument(SHAPE), [2, 3]))


def test_rounding_up_is_more_border_at_the_end() -> None:
    call = relax.op.nn.max_pool2d(tensor((1, 16, 8, 7)), (3, 3), (2, 2), ceil_mode=True)
    window = pooling.window_of(call.attrs, (1, 16, 8, 7), (1, 16, 4, 3))
    assert (window.padding, window.out_height, window.out_width) == ((0, 0, 1, 0), 4, 3)


@pytest.mark.parametrize(("options", "even"), [
    ({}, True),
    ({"padding": (1, 1, 1, 1)}, False),
    ({"padding": (1, 1, 1, 1), "count_include_pad": True}, True),
    ({"ceil_mode": True}, False),
    ({"dilation": (2, 2)}, False),
])  # fmt: skip
def test_windows_of_as_many_inputs_each_are_even(options: dict[str, Any], even: bool) -> None:
    assert pooling.is_even(relax.op.nn.avg_pool2d(tensor(SHAPE), (3, 3), **options).attrs) == even
