"""Maps of a volume → its slices stacked along channels, as a 2-D convolution reads what a 3-D one does; and pooled."""

from __future__ import annotations

from functools import reduce
from operator import add

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Shape, Tensor
from dlas_ops.kernels.shared.blocks import annotation, read_channel
from dlas_ops.kernels.shared.dimensions import Slices

te, tirx = tvm.te, tvm.tirx


def stacked(data: Tensor, shape: Shape, slices: Slices, block: int, lanes: int, border: int = 0) -> Tensor:
    """Return the slices of a volume that each output slice reads, one after the other along channels.

    Parameters
    ----------
    data : the volume of `shape`, (batch, channels, depth, height, width), as NCHW maps or in channel blocks of them
    block : channel block of the result, 0 for NCHW
    lanes : of a vector; where the input's channels are whole vectors, so are the copies
    border : what lies before the first slice and behind the last

    Returns
    -------
    Tensor
        (batch * output slices, channels * kernel slices, height, width), blocked or not.
    """
    batch, channels, _, height, width = shape
    images, total = batch * slices.outputs, channels * slices.kernel

    def read(image: Expr, channel: Expr, row: Expr, column: Expr) -> Expr:
        source, piece, own = slices.source(image, channel, channels)
        inside = [piece >= 0, piece < slices.depth]
        if block and total % block:
            inside.append(channel < total)
        held = read_channel(data, source * slices.depth + piece, own, row, column)
        return tirx.if_then_else(tirx.all(*inside), held, tirx.const(border, data.dtype))

    if not block:
        return te.compute((images, total, height, width), read, name="stacked")
    vectors = channels // slices.groups % lanes == 0 and len(data.shape) == 5
    return te.compute(
        (images, -(-total // block), height, width, block),
        lambda n, co, h, w, ci: read(n, co * block + ci, h, w),
        name="stacked",
        attrs=annotation("copy" if vectors else "scalar_copy"),
    )


def pooled(data: Tensor, slices: Slices, kind: str, counted: tuple[int, int] | None = None) -> Tensor:
    """Return the maximum ("max") or average ("avg") of the slices of blocked maps that each output slice reads.

    Slices beyond the volume are zeros to an average, which counts those from the first of `counted` to before the last;
    None stands for the slices of the volume.
    """
    images = int(data.shape[0]) // slices.depth * slices.outputs
    outside = tirx.min_value(data.dtype) if kind == "max" else tirx.const(0, data.dtype)
    first, stop = counted or (0, slices.depth)

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        read = []
        for tap in range(slices.kernel):
            image, piece, _ = slices.source(n, tap, 1)
            held = data[image * slices.depth + piece, co, h, w, ci]
            read.append(tirx.if_then_else(tirx.all(piece >= 0, piece < slices.depth), held, outside))
        if kind == "max":
            return reduce(tirx.max, read)
        begin = n % slices.outputs * slices.stride - slices.begin
        count = tirx.min(begin + slices.kernel, stop) - tirx.max(begin, first)
        return reduce(add, read) / count.astype(data.dtype)

    return te.compute((images, *data.shape[1:]), element, name="pooled", attrs=annotation("copy"))
