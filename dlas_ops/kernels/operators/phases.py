"""All phases of a transposed convolution's output, a channel for each → the output."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Shape, Tensor
from dlas_ops.kernels.shared.blocks import annotation, read_channel
from dlas_ops.kernels.shared.dimensions import maps_of
from dlas_ops.kernels.shared.transposed import Transposed

te, tirx = tvm.te, tvm.tirx


def interleaved(data: Tensor, layer: Transposed, source: Shape, shape: Shape, block: int, lanes: int) -> Tensor:
    """Return the output of `layer`.

    Parameters
    ----------
    data : the phases in channel blocks, their plain shape being `source`
    shape : of the output, (batch, channels, …)
    block : channel block of the output
    lanes : of a vector; where a group's outputs are whole vectors, so are the copies
    """
    images, channels, height, width = maps_of(shape)
    own, dimensions = channels // layer.groups, len(shape) - 2
    stride, crop = ((*(1,) * (3 - dimensions), *layer.window.stride), (*(0,) * (3 - dimensions), *layer.crop()))
    depth = shape[2] if dimensions == 3 else 1
    phased_depth = source[2] if dimensions == 3 else 1

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * block + ci
        places = [at + before for at, before in zip((n % depth, h, w), crop, strict=True)]
        points = [place // step for place, step in zip(places, stride, strict=True)]
        phase: Expr = 0
        for place, step in zip(places, stride, strict=True):
            phase = phase * step + place % step
        image = n // depth * phased_depth + points[0]
        group = channel // own
        held = read_channel(data, image, (group * layer.phases + phase) * own + channel % own, points[1], points[2])
        if channels % block == 0:
            return held
        return tirx.if_then_else(channel < channels, held, tirx.const(0, data.dtype))

    kind = annotation("copy" if own % lanes == 0 else "scalar_copy")
    return te.compute((images, -(-channels // block), height, width, block), element, name="interleaved", attrs=kind)
