"""Pieces of a transposed convolution's output, or the input of a depthwise one → the output, which adds some up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Shape, Tensor
from dlas_ops.kernels.shared.blocks import annotation, wide
from dlas_ops.kernels.shared.dimensions import maps_of
from dlas_ops.kernels.shared.transposed import Transposed
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.steps import Epilogue, extents, inline_rest, map_stage, parallel, tile_of
from dlas_ops.schedule.threads import bind_points
from dlas_ops.schedule.tiling import Tile
from dlas_ops.schedule.tunables import Choice

te, tirx = tvm.te, tvm.tirx

# Phases whose sums one step holds in registers.
MOST_PHASES = 16

# On a block: channels that are added up in one vector.
WIDTH = "dlas.width"

# Image, channel, piece, row and column → what a piece holds there.
Read = Callable[[Expr, Expr, Expr, Expr, Expr], Expr]


class Term(NamedTuple):
    """A piece that an output point may add up in one dimension, the point of it, and the conditions for that."""

    piece: Expr
    point: Expr
    inside: Sequence[Expr]


def interleaved(data: Tensor, layer: Transposed, source: Shape, shape: Shape, block: int, lanes: int) -> Tensor:
    """Return the output of `layer`.

    Parameters
    ----------
    data : the pieces in channel blocks, their plain shape being `source`
    shape : of the output, (batch, channels, …)
    block : channel block of the output
    lanes : of a vector
    """
    pieces, blocks = prod(layer.pieces), (int(data.shape[1]), int(data.shape[4]))

    def read(image: Expr, channel: Expr, piece: Expr, row: Expr, column: Expr) -> Expr:
        if layer.groups == 1:
            held = piece * layer.pitch + channel
        else:
            group, own = channel // layer.outputs, channel % layer.outputs
            held = (group * pieces + piece) * layer.pitch + own
        if blocks[0] == 1:
            return data[image, 0, row, column, held]
        return data[image, held // blocks[1], row, column, held % blocks[1]]

    channels = layer.pitch if layer.groups == 1 else shape[1]
    return _summed(read, layer, source, shape, block, channels, layer.lanes(lanes))


def pack_depthwise(weight: np.ndarray, blocks: int, block: int) -> np.ndarray:
    """Pack (channel, 1, kernel) weights as (channel block, place in the kernel, channel), padded with zeros."""
    filled = np.zeros((blocks * block, prod(weight.shape[2:])), weight.dtype)
    filled[: len(weight)] = weight.reshape(len(weight), -1)
    return np.ascontiguousarray(filled.reshape(blocks, block, -1).swapaxes(1, 2))


def depthwise(
    data: Tensor, weight: Tensor, layer: Transposed, shape: Shape, processor: Processor, border: int = 0
) -> Tensor:
    """Return the output of depthwise `layer`, in the blocks of `data`, with packed `weight`.

    Of 8-bit integers it is the sum of products of the weights and the input less its zero point, `border`.
    """
    block = int(data.shape[4])
    dtype = "int32" if "int" in str(data.dtype) else wide(str(data.dtype))

    def read(image: Expr, channel: Expr, piece: Expr, row: Expr, column: Expr) -> Expr:
        held = data[image, channel // block, row, column, channel % block].astype(dtype)
        held = held - tirx.const(border, dtype) if border else held
        return held * weight[channel // block, piece, channel % block].astype(dtype)

    source = (shape[0], shape[1], *layer.sizes)
    return _summed(read, layer, source, shape, block, int(data.shape[1]) * block, min(block, processor.lanes()))


def _summed(
    read: Read, layer: Transposed, source: Shape, shape: Shape, block: int, channels: int, width: int
) -> Tensor:
    """Return what `read` has of the pieces for each point, in channel blocks of `block`, `width` channels at a time.

    All but the first `channels` are zero.
    """
    images, outputs, height, width_of_map = maps_of(shape)
    depth, blocks = (shape[2] if len(shape) == 5 else 1), -(-outputs // block)
    down, across = (1, *layer.window.stride)[-2:]
    tile = Tile(down, across, 1) if down * across <= MOST_PHASES else Tile(1, 1, 1)
    rows, columns = tile.covers(height, width_of_map)
    covered = (depth, rows, columns)[-len(layer.sizes) :]

    def point(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel, places = co * block + ci, (n % depth, h, w)[-len(layer.sizes) :]
        every = [
            _terms(layer, dimension, place, extent, source[2 + dimension])
            for dimension, (place, extent) in enumerate(zip(places, covered, strict=True))
        ]
        taken = []
        for terms in product(*every):
            piece: Expr = 0
            for count, term in zip(layer.pieces, terms, strict=True):
                piece = piece * count + term.piece
            *slices, row, column = (0, *(term.point for term in terms))[-max(len(terms), 2) :]
            image = n // depth * source[2] + slices[0] if slices else n
            held = read(image, channel, piece, row, column)
            inside = [condition for term in terms for condition in term.inside]
            if blocks * block > channels:
                inside.append(channel < channels)
            taken.append(tirx.if_then_else(tirx.all(*inside), held, _zero(held)) if inside else held)
        return reduce(add, taken)

    attributes = {**annotation("interleaved", tile), WIDTH: width}
    sums = te.compute((images, blocks, rows, columns, block), point, name="interleaved", attrs=attributes)
    return te.compute((images, blocks, height, width_of_map, block), lambda *index: sums[index], name="output")


def _terms(layer: Transposed, dimension: int, place: Expr, places: int, size: int) -> list[Term]:
    """Return all that a point at `place`, one of `places`, may take of pieces of `size` points in a dimension."""
    step, before, extent = layer.window.stride[dimension], layer.before[dimension], layer.extents[dimension]
    dilation, at = layer.window.dilation[dimension], place + before

    def bounded(back: int) -> list[Expr]:
        point = at // step - back
        low, high = before // step - back, (places - 1 + before) // step - back
        return [point >= 0] * (low < 0) + [point < size] * (high >= size)

    if not layer.apart[dimension]:
        return [Term(at % step, at // step, bounded(0))]
    found = []
    for back in range(-(-extent // step)):
        tap = at % step + back * step
        inside = bounded(back)
        if dilation > 1:
            inside.append(tap % dilation == 0)
        if (back + 1) * step > extent:
            inside.append(tap < extent)
        found.append(Term(tap // dilation, at // step - back, inside))
    return found


def _zero(held: Expr) -> Expr:
    dtype = held.dtype if isinstance(held, te.TensorSlice) else held.ty.dtype
    return tirx.const(0, str(dtype))


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Add up a point of each phase in registers, vectors of channels at a time, and run the epilogue on them.

    Steps along rows and columns are those of the phases: which pieces a point takes is then known while compiling.
    """
    tile, width = tile_of(sch, block), int(sch.get(block).annotations[WIDTH])
    epilogue = Epilogue(sch, block)
    n, co, h, w, ci = sch.get_loops(block)
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    cio, v = sch.split(ci, [None, width])
    sch.reorder(n, co, ho, wo, cio, hi, wi, v)
    outer = sch.fuse(n, co, ho)
    sch.set_scope(block, 0, "local")
    epilogue.place(cio)
    parallel(sch, outer, cpu)
    sch.vectorize(v)
    for loop in (hi, wi):
        sch.unroll(loop)
    epilogue.vectorize(3, width)
    if epilogue.rest is not None:
        map_stage(sch, epilogue.rest, cpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Add up one point of as many channels as there are in a vector in each thread."""
    vectors = int(sch.get(block).annotations[WIDTH]) % gpu.lanes() == 0
    last = inline_rest(sch, block, None)
    assert extents(sch, last)
    bind_points(sch, sch.get_loops(last), gpu, vectors=vectors)
