"""ONNX network, algorithm, format, dtype and target → Relax module with what decides its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import tvm

import dlas_ops
from dlas_ops.kernels.shared import winograd_plan
from dlas_ops.placement.account import Layer
from dlas_ops.processor.targets import describe
from explorer.core.errors import Failure, StageFailed
from explorer.line.checking.first_wrong_layer import Placement
from explorer.line.contracts.lower import Numerics, Parameters, Parents, Values
from explorer.line.stages.select import SELECTION

VERSION = 10
WORKER = "tvm"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the lowered module, and ``placement.json`` with what it was lowered with.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if the network cannot take so many images at once, if not one convolution can run as
        asked, or no layer in the dtype: the trial would measure something else.
    """
    try:
        network = dlas_ops.with_batch(onnx.load(parents.network.path / "network.onnx"), parameters.batch)
    except ValueError as error:
        raise StageFailed(Failure("lower", "not_applicable", str(error))) from error
    placement = Placement(
        parameters.algorithm, parameters.format, parameters.dtype, parameters.target, parameters.batch
    )
    if parents.select:
        selection = json.loads((parents.select.path / SELECTION).read_text())
        placement = replace(placement, algorithm=dlas_ops.Selection.from_json(selection))
    lowered = placement.lower(network)
    convolutions = [layer for layer in lowered.layers if "conv" in layer.operator and layer.can_ask]
    as_asked = [layer for layer in convolutions if layer.as_asked]
    if convolutions and not as_asked:
        reasons = "; ".join(sorted({layer.reason for layer in convolutions}))
        wanted = f"{parameters.algorithm} in format {placement.format}"
        raise StageFailed(Failure("lower", "not_applicable", f"no convolution can run as {wanted}: {reasons}"))
    dtype = placement.dtype
    if dtype != "float32" and not any(layer.dtype == dtype for layer in lowered.layers):
        raise StageFailed(Failure("lower", "not_applicable", f"no layer of the network can run in {dtype}"))
    dlas_ops.save(lowered, out)
    placement.save(out)
    return {
        "convolutions": len(convolutions),
        "convolutions_as_asked": len(as_asked),
        "weight_bytes": sum(layer.stored_bytes for layer in lowered.layers),
        "numerics": numerics(lowered.layers, tvm.target.Target(parameters.target)),
    }


def numerics(layers: Sequence[Layer], target: Any) -> Numerics:
    """Return all that decides a network's outputs beyond the rounding of sums; equal numerics share an accuracy.

    Direct, gemm and spatial_pack sum the same products in another order, and csr leaves out those that are zero; a
    schedule, tuned or not, and threads only split the work, or round Winograd's kernels to float32 once more. None of
    that counts. Three things do:

    - the dtype that a layer stores its weights and input in, which are rounded to it. Products of 8-bit integers are
      summed exactly by any instruction;
    - whether a layer of float16 multiplies in float16 or widens to float32 first: sums of products in float16 have a
      coarser grid than the numbers that they are stored as. Products of bfloat16 are summed in float32 either way;
    - Winograd's transforms. The larger ones lose more digits: an error that depends on the activations, not only on
      the order of sums.
    """
    kinds = {layer.name: _arithmetic(layer, target) for layer in layers}
    stored = {layer.dtype for layer in layers}
    dtype = next((dtype for dtype in ("int8", "bfloat16", "float16") if dtype in stored), "float32")
    return {"dtype": dtype, "layers": {name: kind for name, kind in kinds.items() if kind != "float32"}}


def _arithmetic(layer: Layer, target: Any) -> str:
    """Return the class of a layer's arithmetic; see `numerics`."""
    if layer.ran.startswith("winograd"):
        return f"winograd F({winograd_plan.variant(layer.conv, describe(target))[0].m}, 3)"
    if layer.dtype == "float16":
        return "float16" if layer.arithmetic.startswith("float16") else "float16, widened"
    return layer.dtype
