"""Network, ONNX or exported program → a compiled library and its account, by way of a saveable lowered module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from dlas_ops import lowering
from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule, Library, PrimFunc, Target
from dlas_ops.kernels.registry import Asked, Choices, Selection, implemented, selects
from dlas_ops.kernels.scheduling import note_of, schedule, sums_in_matrices
from dlas_ops.lowering import Lowered
from dlas_ops.onnx import mixing, quantization
from dlas_ops.onnx.calibration import Method
from dlas_ops.onnx.exported import as_onnx
from dlas_ops.passes.eviction import evicted_bytes
from dlas_ops.passes.host_output import output_on_host
from dlas_ops.passes.memory import Memory, MemoryInstrument
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.passes.ticking import Call, ticking
from dlas_ops.placement.account import Layer, run_by
from dlas_ops.placement.graph import Graph
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.matrix import IN_MATRICES
from dlas_ops.processor.targets import describe, native_target
from dlas_ops.selection.candidates import names
from dlas_ops.selection.selection import Measure, choose, here

DTYPES = ("float32", "float16", "bfloat16", "int8")

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Model: TypeAlias = "onnx.ModelProto | ExportedProgram"


@dataclass(frozen=True)
class Compiled:
    """A built network: `library` exports itself with ``export_library("net.tar")``."""

    library: Library
    layers: list[Layer]


class Timed(NamedTuple):
    """A call of a tensor program in a network that notes times; see `build_ticking`.

    Attributes
    ----------
    program : its name
    layers : names of the layers of the account that it runs; none for conversions between layouts and the like
    weight_bytes, activation_bytes : of what it reads of the network's constants, and of all else it reads and writes
    output : shape of its result, in the layout that the next program reads
    """

    program: str
    layers: tuple[str, ...]
    weight_bytes: int
    activation_bytes: int
    output: tuple[int, ...]


def lower(
    model: Model,
    target: Target,
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
    algorithm : name of a file in ``dlas_ops/kernels/algorithms``, ``algorithm/format`` by layer name (see `Choices`),
        or what `select` returned
    format : weight format; what an algorithm does not implement falls back to dense, and the account says so
    dtype : of weights and activations as stored. With float16 the network's input and output stay float32. Where the
        processor has the arithmetic, convolutions multiply in float16 and sum a bounded number of products in it, and
        those sums in float32 (see `dlas_ops.processor.half`). Everything else is computed in float32: operands are
        converted when they are read, results rounded when they are stored. The account tells which, layer by layer
    calibration : for int8 of a float network, inputs whose activations its scales must hold, (images, channels, height,
        width); see `dlas_ops.onnx.quantization`

    Raises
    ------
    ValueError
        If there is no such algorithm, format or dtype, if int8 is asked for of a float network without calibration, if
        the target would convert float16 in software, one number at a time, or if a weight is beyond its range.
    TypeError
        If `model` is none of both.
    """
    return lowering.lower(_network(model, dtype, calibration), target, Choices(algorithm, format), dtype)


def plan(model: Model, target: Target, *, format: str = "dense", dtype: str = "float32") -> Graph:
    """Return what an algorithm can be selected for in `model`, and hence what there is to measure; see `lower`.

    For int8 the model must be quantized.
    """
    # Whatever is placed, the layers and where their layouts meet are the same.
    _, placement = lowering.placed(_network(model, dtype), target, Choices(implemented()[0], format), dtype)
    graph = placement.recorder.graph()
    # Few channels are one block in every layout: nothing is ever converted.
    return replace(graph, joins=[join for join in graph.joins if names(join.problem, target)])


def select(
    model: Model,
    target: Target,
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


def build(
    lowered: Lowered,
    target: Target,
    scheduled: Mapping[str, PrimFunc] = MappingProxyType({}),
    memory: Memory | None = None,
) -> Compiled:
    """Schedule and compile `lowered` for `target`, and add to its account what its schedules do without.

    The library is TVM's executable, whose outputs are in the host's memory.

    Parameters
    ----------
    scheduled : tensor programs that are scheduled already, by the names that `lowered` calls them; the rules schedule
        the others
    memory : is filled in with what the library allocates when it runs
    """
    return _built(lowered, target, scheduled, [MemoryInstrument(memory)] if memory else [])


def build_ticking(
    lowered: Lowered, target: Target, scheduled: Mapping[str, PrimFunc] = MappingProxyType({}), *, runs: int
) -> tuple[Library, list[Timed]]:
    """Compile `lowered` so that it notes when each tensor program ends; return TVM's executable, and those programs.

    They are in the order of their calls. The function ``main`` takes one more argument, the notes of its last `runs`
    runs; see `dlas_ops.passes.ticking`. The programs are those that `build` compiles.

    Raises
    ------
    ValueError
        If `target` is a GPU, which goes on computing after the host's call of a program has returned.
    """
    if isinstance(describe(target), Gpu):
        raise ValueError("a GPU's programs end at times that its host does not know")
    calls: list[Call] = []
    relax = tvm.transform.Sequential([tvm.relax.get_pipeline("default"), ticking(runs, calls)])
    library = _built(lowered, target, scheduled, [], relax).library
    names = run_by([call.program for call in calls], lowered.layers)
    timed = [
        Timed(call.program, own, call.constant_bytes, call.activation_bytes, call.output)
        for call, own in zip(calls, names, strict=True)
    ]
    return library, timed


def _built(
    lowered: Lowered,
    target: Target,
    scheduled: Mapping[str, PrimFunc],
    instruments: list[object],
    relax: object = "default",
) -> Compiled:
    # The virtual machine checks the network's input, and every other shape is fixed by then.
    config = {"tirx.disable_assert": True}
    with tvm.transform.PassContext(opt_level=3, config=config, instruments=instruments), target:
        module = schedule(lowered.module, target, scheduled)
        layers = [_as_built(layer, module) for layer in lowered.layers]
        if isinstance(describe(target), Gpu):
            module = output_on_host(module)
        return Compiled(tvm.relax.build(module, target, relax_pipeline=relax, tir_pipeline=PIPELINE), layers)


def _as_built(layer: Layer, scheduled: IRModule) -> Layer:
    """Return a line of the account with what the schedule of its program decides."""
    if not layer.program:
        return layer
    function = scheduled[layer.program]
    where = IN_MATRICES if sums_in_matrices(function) else ""
    return replace(layer, note=note_of(function), arithmetic=layer.arithmetic + where)


def compile(
    model: Model,
    target: Target,
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
    return build(lower(model, target, algorithm=algorithm, format=format, dtype=dtype), target)


def quantize(
    model: onnx.ModelProto,
    images: NDArray[np.float32],
    *,
    percentile: float = 100.0,
    method: Method = "percentile",
) -> onnx.ModelProto:
    """Return `model` as a QDQ network with scales for what it computes of `images` on this machine.

    See `dlas_ops.onnx.quantization.quantize` for the parameters and errors.
    """
    return quantization.quantize(model, images, _runner, percentile=percentile, method=method)


def harms(network: onnx.ModelProto, quantized: onnx.ModelProto, images: NDArray[np.float32]) -> dict[str, float]:
    """Return what 8 bits do to a network's outputs in each layer alone; see `dlas_ops.onnx.mixing.harms`."""
    return mixing.harms(network, quantized, images, _runner)


def _runner(model: onnx.ModelProto) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return a function that runs `model` on this machine: a batch → its outputs."""
    library = compile(model, tvm.target.Target(native_target()), algorithm="spatial_pack").library
    machine = tvm.relax.VirtualMachine(library, tvm.cpu())

    def run(batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        outputs = machine["main"](tvm.runtime.tensor(batch))
        return [output.numpy() for output in ([outputs] if len(model.graph.output) == 1 else outputs)]

    return run


def _network(model: Model, dtype: str, calibration: NDArray[np.float32] | None = None) -> onnx.ModelProto:
    """Return `model` in ONNX, quantized if `dtype` asks for it; see `lower`."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype} is not implemented; there are {', '.join(DTYPES)}")
    network = as_onnx(model)
    if dtype != "int8" or quantization.is_quantized(network):
        return network
    if calibration is None:
        raise ValueError("int8 needs calibration images, or a QDQ model")
    return quantize(network, calibration)
