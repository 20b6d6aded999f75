"""ONNX network, target and choices for its layers → tensor programs, placed and fused but not yet scheduled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, IRModule, Target
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.blocks import NARROW
from dlas_ops.onnx.names import WeightNames
from dlas_ops.placement import walk
from dlas_ops.placement.account import Layer
from dlas_ops.placement.context import Context
from dlas_ops.placement.tables import FuseTables
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import describe


@dataclass(frozen=True)
class Lowered:
    """A network with its algorithms placed, weights packed and element-wise operators fused; not yet scheduled."""

    module: IRModule
    layers: list[Layer]


def lower(model: onnx.ModelProto, target: Target, choices: Choices, dtype: str) -> Lowered:
    """Return `model` with `choices` placed on its layers; see `dlas_ops.lower`."""
    module, context = placed(model, target, choices, dtype)
    transform = tvm.relax.transform
    with target:
        passes = [
            transform.DeadCodeElimination(),  # a tensor with a dead reader would not fuse with its living one
            transform.DecomposeOpsForInference(),
            transform.LegalizeOps(),
            transform.FoldConstant(),
            transform.AnnotateTIROpPattern(),
            FuseTables(),
            transform.FuseOps(),
            transform.FuseTIR(),
            transform.DeadCodeElimination(),
        ]
        module = tvm.transform.Sequential(passes)(module)
    layers = _with_programs(context.layers, context.layer_of, module)
    return Lowered(module, [layer for index, layer in enumerate(layers) if index not in context.taken_in])


def calls(module: IRModule) -> list[tuple[str, list[Expr]]]:
    """Return name and arguments of every call of a tensor program, in the network's order."""
    found = []
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            call = binding.value
            if getattr(getattr(call, "op", None), "name", "").startswith("relax.call_tir"):
                arguments = getattr(call.args[1], "fields", [call.args[1]])
                found.append((str(call.args[0].name_hint), list(arguments)))
    return found


def _with_programs(layers: Sequence[Layer], layer_of: Mapping[Expr, int], module: IRModule) -> list[Layer]:
    """Return `layers` with the names of the programs that read their packed weights, and the positions of the calls."""
    found = {
        layer_of[argument]: (name, position)
        for position, (name, arguments) in enumerate(calls(module))
        for argument in arguments
        if argument in layer_of
    }
    computed = [found.get(index, ("", -1)) for index in range(len(layers))]
    return [replace(layer, program=name, call=call) for layer, (name, call) in zip(layers, computed, strict=True)]


def placed(model: onnx.ModelProto, target: Target, choices: Choices, dtype: str) -> tuple[IRModule, Context]:
    """Return `model` with its operators placed, and the context of its placement: the account and what was recorded."""
    processor = describe(target)
    if dtype == "float16" and not processor.half_loads:
        raise ValueError(f"{target} has no instruction that converts vectors of float16")
    if dtype == "bfloat16" and isinstance(processor, Gpu):
        raise ValueError(f"bfloat16 has programs for CPUs only, and {target} is a GPU")
    from tvm.relax.frontend.onnx import from_onnx

    module = tvm.relax.transform.DeadCodeElimination()(from_onnx(model, keep_params_in_input=False))
    with target:
        return walk.place(module, target, choices, WeightNames(model), dtype if dtype in NARROW else "")


def save(lowered: Lowered, folder: str | Path) -> None:
    """Write `lowered` into `folder`, as module.json and layers.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "module.json").write_text(tvm.ir.save_json(lowered.module), encoding="utf-8")
    (folder / "layers.json").write_text(json.dumps([layer.to_json() for layer in lowered.layers], indent=1))


def load(folder: str | Path) -> Lowered:
    """Read what `save` wrote."""
    folder = Path(folder)
    module = tvm.ir.load_json((folder / "module.json").read_text(encoding="utf-8"))
    layers = json.loads((folder / "layers.json").read_text())
    return Lowered(module, [Layer.from_json(layer) for layer in layers])
