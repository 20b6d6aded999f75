"""Dense layer: weights packed in panels of one vector of outputs, a few panels and rows at a time in registers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.schedules import divisors, extents, inline_rest, parallel, tile_of, vectorize_inner
from dlas_ops.stages import annotation
from dlas_ops.targets import Cpu
from dlas_ops.tiling import Tile, register_tile
from dlas_ops.tunables import Choice, Space, rule_first


def pack(weight: np.ndarray, cpu: Cpu) -> np.ndarray:
    """Pack (inputs, outputs) weights as (output block, input, output), padded with zeros to whole vectors."""
    lanes = cpu.lanes()
    inputs, outputs = weight.shape
    blocks = -(-outputs // lanes)
    filled = np.zeros((inputs, blocks * lanes), weight.dtype)
    filled[:, :outputs] = weight
    return np.ascontiguousarray(filled.reshape(inputs, blocks, lanes).transpose(1, 0, 2))


def compute(data: Any, weight: Any, outputs: int, cpu: Cpu) -> Any:
    """Return `data` (rows, inputs) times packed `weight`, as (rows, outputs)."""
    te = tvm.te
    blocks, inputs, lanes = (int(size) for size in weight.shape)
    rows = int(data.shape[0])
    tile = register_tile(1, rows, blocks, 1, cpu)
    _, padded_rows = tile.covers(1, rows)
    if padded_rows > rows:
        filled = te.compute(
            (padded_rows, inputs),
            lambda r, k: tvm.tirx.if_then_else(r < rows, data[r, k], tvm.tirx.const(0.0, data.dtype)),
            name="padded",
        )
    else:
        filled = data
    k = te.reduce_axis((0, inputs), "k")
    sums = te.compute(
        (blocks, padded_rows, lanes),
        lambda o, r, v: te.sum(filled[r, k] * weight[o, k, v], axis=k),
        name="dense",
        attrs=annotation("dense", tile),
    )
    return te.compute((rows, outputs), lambda r, c: sums[c // lanes, r, c % lanes], name="output")


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`: ``tile`` is (rows, panels) of sums in registers."""
    tile = tile_of(sch, block)
    panels, rows, *_ = extents(sch, block)
    tiles = [(r, o) for r in divisors(rows) for o in divisors(panels) if Tile(1, r, o).registers <= cpu.tile_registers]
    return {"tile": rule_first((tile.width, tile.vectors), tiles)}


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice) -> None:
    """Hold the sums of a few panels in registers; the small result is copied out, with its epilogue, at the end."""
    rows, panels = choice["tile"]
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    for producer in sch.get_producers(block):
        parallel(sch, sch.get_loops(producer)[0], cpu)
    sums = sch.cache_write(block, 0, "local")
    o, r, v, k = sch.get_loops(block)
    lanes = int(sch.get(v).extent)
    oo, oi = sch.split(o, [None, panels])
    ro, ri = sch.split(r, [None, rows])
    sch.reorder(oo, ro, k, oi, ri, v)
    tiles = sch.fuse(oo, ro)
    sch.reverse_compute_at(sums, tiles)
    parallel(sch, tiles, cpu)
    sch.vectorize(v)
    sch.unroll(oi)
    sch.unroll(ri)
    vectorize_inner(sch, sums, sch.get_loops(sums)[1:], lanes)
    first = sch.decompose_reduction(block, k)
    vectorize_inner(sch, first, sch.get_loops(first)[1:], lanes)
    *_, columns = sch.get_loops(last)
    if int(sch.get(columns).extent) % lanes == 0:
        sch.vectorize(sch.split(columns, [None, lanes])[1])
