"""Concatenations before and after they are placed."""

from __future__ import annotations

from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import layout, pooling
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement import in_place_concat, walk
from dlas_ops.placement.context import Context
from dlas_ops.placement.rules import concatenations
from tests.dlas_ops.placement.before_after import EPILOGUE, NAMES, TARGET, Case, function, tensor
from tests.dlas_ops.small_networks import calls

relax = tvm.relax

SHAPE = (1, 16, 4, 4)


def test_parts_are_copied_in_the_blocks_that_they_are_in() -> None:
    case = Case()
    parts = [case.argument(SHAPE, 4), case.argument((1, 8, 4, 4))]
    call = relax.op.concat(relax.Tuple(parts), axis=1)
    block, own = case.context.block(24), case.context.block(8)

    def expected(builder: Any, x: Any, y: Any) -> Any:
        y = builder.emit_te(lambda y: layout.pack(y, (1, 8, 4, 4), own), y, primfunc_name_hint="pack")
        return builder.emit_te(
            lambda *parts: layout.concatenate(parts, [16, 8], block, 8), x, y, primfunc_name_hint="concat"
        )

    value = case.becomes(concatenations.concat, call, expected)
    assert (value.shape, value.block, value.layer) == ((1, 24, 4, 4), block, "")


def test_other_axes_and_plain_parts_are_left() -> None:
    case = Case()
    rows = relax.op.concat(relax.Tuple([case.argument(SHAPE, 8), case.argument(SHAPE, 8)]), axis=2)
    case.is_left(concatenations.concat, rows)
    case = Case()
    plain = relax.op.concat(relax.Tuple([case.argument(SHAPE), case.argument(SHAPE)]), axis=1)
    case.is_left(concatenations.concat, plain)


def test_a_concatenation_of_its_own_does_not_grow() -> None:
    case = Case()
    call = relax.op.concat(relax.Tuple([case.argument(SHAPE, 8), case.argument(SHAPE, 8)]), axis=1)
    case.is_left(concatenations.grown, call)


def growing(channels: int) -> Any:
    """Return a network that concatenates two maps, then three, the same two first."""

    def body(builder: Any, *inputs: Any) -> Any:
        parts = [builder.emit(relax.op.nn.max_pool2d(x, (1, 1))) for x in inputs]
        two = builder.emit(relax.op.concat(relax.Tuple(parts[:2]), axis=1))
        three = builder.emit(relax.op.concat(relax.Tuple(parts), axis=1))
        return relax.Tuple([two, three])

    return function([tensor((1, channels, 4, 4)) for _ in range(3)], body)


def pooled(builder: Any, context: Context, x: Any) -> Any:
    """Return what `growing` makes of an input before it is concatenated."""
    block, window = context.block(16), Conv(1, 16, 4, 4, 16, (1, 1), groups=16)
    packed = builder.emit_te(lambda x: layout.pack(x, SHAPE, block), x, primfunc_name_hint="pack")
    return builder.emit_te(
        lambda x: pooling.compute(window, x, "max", False, context.cpu), packed, primfunc_name_hint="max_pool2d",
        primfunc_attrs=EPILOGUE,
    )  # fmt: skip


def test_concatenations_that_begin_alike_share_one_tensor() -> None:
    after, context = walk.place(growing(16), TARGET, Choices("direct"), NAMES)

    def expected(builder: Any, *inputs: Any) -> Any:
        parts, block = [pooled(builder, context, x) for x in inputs], context.block(48)
        held = builder.emit_te(
            lambda x: in_place_concat.opened(x, SHAPE, 48, block), parts[0], primfunc_name_hint="open"
        )
        taken = []
        for number in (1, 2):
            part = parts[number]
            writer = builder.add_func(in_place_concat.write(held, part, 16 * number), "write")
            held = builder.emit(relax.call_tir_inplace(writer, relax.Tuple([held, part]), 0, held.ty))
            shape = (1, 16 * (number + 1), 4, 4)
            width = context.block(shape[1])
            channels = builder.emit_te(
                lambda x, shape=shape, width=width: in_place_concat.take(x, shape, width), held,
                primfunc_name_hint="concat",
            )  # fmt: skip
            taken.append((channels, shape))
        plain = [
            builder.emit_te(lambda x, shape=shape: layout.unpack(x, shape), x, primfunc_name_hint="unpack")
            for x, shape in taken
        ]
        return builder.emit(relax.Tuple(plain))

    tvm.ir.assert_structural_equal(after, function([tensor(SHAPE) for _ in range(3)], expected))


def test_parts_that_are_not_whole_vectors_are_copied_each_time() -> None:
    after, _ = walk.place(growing(12), TARGET, Choices("direct"), NAMES)
    called = calls(after)
    assert "write" not in called
    assert len([name for name in called if name.startswith("concat")]) == 2
