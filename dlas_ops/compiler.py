"""Network, ONNX or exported program → a compiled library and its account, by way of a saveable lowered module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops.asked import Asked, Choices, Selection, implemented, selects
from dlas_ops.candidates import names
from dlas_ops.eviction import evicted_bytes
from dlas_ops.exported import as_onnx
from dlas_ops.graph import Graph
from dlas_ops.layers import Layer
from dlas_ops.names import WeightNames
from dlas_ops.pipeline import PIPELINE
from dlas_ops.placement import Placement
from dlas_ops.quantization import is_quantized, quantize
from dlas_ops.scheduling import schedule
from dlas_ops.selection import Measure, choose, here
from dlas_ops.tables import FuseTables
from dlas_ops.targets import describe

DTYPES = ("float32", "float16", "int8")

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Model: TypeAlias = "onnx.ModelProto | ExportedProgram"


@dataclass(frozen=True)
class Lowered:
    """A network with its algorithms placed, weights packed and element-wise operators fused; not yet scheduled."""

    module: Any
    layers: list[Layer]


@dataclass(frozen=True)
class Compiled:
    """A built network: `library` exports itself with ``export_library("net.tar")``."""

    library: Any
    layers: list[Layer]


def lower(
    model: Model,
    target: Any,
    *,
    algorithm: str | Mapping[str, str] | Selection,
    format: str = "dense",
    dtype: str = "float32",
    calibration: NDArray[np.float32] | None = None,
) -> Lowered:
    """Import `model` and place `algorithm` on its convolutions.

    Parameters
    ----------
    model : a float32 network of static shapes: an ONNX model with its weights embedded, or a program of
        ``torch.export.export(model.eval(), …)``, which is taken by way of ONNX with its batch norms folded. A QDQ
        model, QuantizeLinear and DequantizeLinear around its operators, runs in int8 where they have programs for it.
    target : the ``tvm.target.Target`` to run on
    algorithm : name of a file in ``dlas_ops/algorithms``, ``algorithm/format`` by layer name (see `Choices`), or what
        `select` returned
    format : weight format; what an algorithm does not implement falls back to dense, and the account says so
    dtype : of weights and activations as stored. With float16 the network's input and output stay float32. Where the
        processor has the arithmetic, convolutions multiply in float16 and sum a bounded number of products in it, and
        those sums in float32 (see `dlas_ops.half`). Everything else is computed in float32: operands are converted when
        they are read, results rounded when they are stored. The account tells which, layer by layer
    calibration : for int8 of a float network, inputs whose activations its scales must hold, (images, channels, height,
        width); see `dlas_ops.quantization`

    Raises
    ------
    ValueError
        If there is no such algorithm, format or dtype, if int8 is asked for of a float network without calibration, if
        the target would convert float16 in software, one number at a time, or if a weight is beyond its range.
    TypeError
        If `model` is none of both.
    """
    model = _network(model, dtype, calibration)
    module, placement = _placed(model, target, Choices(algorithm, format), dtype)
    transform = tvm.relax.transform
    with target:
        passes = [
            transform.DeadCodeElimination(),  # what a dead operator reads would not fuse with its living reader
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
    return Lowered(module, placement.layers)


def plan(model: Model, target: Any, *, format: str = "dense", dtype: str = "float32") -> Graph:
    """Return what an algorithm can be selected for in `model`, and hence what there is to measure; see `lower`.

    For int8 the model must be quantized.
    """
    # Whatever is placed, the layers and where their layouts meet are the same.
    graph = _placed(_network(model, dtype), target, Choices(implemented()[0], format), dtype)[1].recorder.graph()
    # Few channels are one block in every layout: nothing is ever converted.
    return replace(graph, joins=[join for join in graph.joins if names(join.problem, target)])


def select(
    model: Model,
    target: Any,
    *,
    algorithm: str = "auto",
    format: str = "dense",
    dtype: str = "float32",
    measure: Measure | None = None,
) -> Selection:
    """Return the algorithm for each layer of `model` that makes the network fastest, by measuring its layers.

    For int8 the model must be quantized.

    Parameters
    ----------
    algorithm : what the account will say was asked for
    measure : problems → seconds of each one's candidates; by default they are built and timed in this process

    Raises
    ------
    ValueError
        If there is no such format, or `target` is not this machine and there is no `measure`.
    """
    asked = str(Asked(algorithm, format))
    graph = plan(model, target, format=format, dtype=dtype)
    problems = graph.distinct()
    costs = (measure or here(target, evicted_bytes(graph.weight_bytes, describe(target))))(problems)
    return choose(graph, dict(zip(problems, costs, strict=True)), target, asked)


def build(lowered: Lowered, target: Any, scheduled: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Schedule and compile `lowered` for `target`; return TVM's executable.

    Parameters
    ----------
    scheduled : tensor programs that are scheduled already, by the names that `lowered` calls them; the rules schedule
        the others
    """
    # The virtual machine checks the network's input, and every other shape is fixed by then.
    with tvm.transform.PassContext(opt_level=3, config={"tirx.disable_assert": True}), target:
        return tvm.relax.build(schedule(lowered.module, target, scheduled), target, tir_pipeline=PIPELINE)


def compile(
    model: Model,
    target: Any,
    *,
    algorithm: str | Mapping[str, str] | Selection,
    format: str = "dense",
    dtype: str = "float32",
    calibration: NDArray[np.float32] | None = None,
    measure: Measure | None = None,
) -> Compiled:
    """Lower and build `model`; see `lower` and, for what selects by measuring and for `measure`, `select`."""
    model = _network(model, dtype, calibration)
    if isinstance(algorithm, str) and selects(algorithm):
        algorithm = select(model, target, algorithm=algorithm, format=format, dtype=dtype, measure=measure)
    lowered = lower(model, target, algorithm=algorithm, format=format, dtype=dtype)
    return Compiled(build(lowered, target), lowered.layers)


def _network(model: Model, dtype: str, calibration: NDArray[np.float32] | None = None) -> onnx.ModelProto:
    """Return `model` in ONNX, quantized if `dtype` asks for it; see `lower`."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype} is not implemented; there are {', '.join(DTYPES)}")
    network = as_onnx(model)
    if dtype != "int8" or is_quantized(network):
        return network
    if calibration is None:
        raise ValueError("int8 needs calibration images, or a QDQ model")
    return quantize(network, calibration)


def _placed(model: onnx.ModelProto, target: Any, choices: Choices, dtype: str) -> tuple[Any, Placement]:
    """Return `model` with its operators placed, and how."""
    if dtype == "float16" and not describe(target).half_loads:
        raise ValueError(f"{target} has no instruction that converts vectors of float16")
    from tvm.relax.frontend.onnx import from_onnx

    module = tvm.relax.transform.DeadCodeElimination()(from_onnx(model, keep_params_in_input=False))
    with target:
        placement = Placement(module, target, choices, WeightNames(model), dtype == "float16")
        return placement.run(), placement


def save(lowered: Lowered, folder: str | Path) -> None:
    """Write `lowered` into `folder`, as module.json and layers.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "module.json").write_text(tvm.ir.save_json(lowered.module))
    (folder / "layers.json").write_text(json.dumps([layer.to_json() for layer in lowered.layers], indent=1))


def load(folder: str | Path) -> Lowered:
    """Read what `save` wrote."""
    folder = Path(folder)
    module = tvm.ir.load_json((folder / "module.json").read_text())
    layers = json.loads((folder / "layers.json").read_text())
    return Lowered(module, [Layer.from_json(layer) for layer in layers])
