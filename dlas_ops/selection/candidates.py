"""A layer's shape → a tensor program for each way to run it, and how long each takes on a device."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import Device, Library, PrimFunc, Target, Tensor
from dlas_ops.kernels.operators import depthwise, layout, points_innermost, pooling, quantize
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import Asked, fitting, implemented
from dlas_ops.kernels.scheduling import schedule_function
from dlas_ops.kernels.shared.blocks import NARROW
from dlas_ops.passes.eviction import Eviction, to_time
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.dot import stored
from dlas_ops.processor.targets import Processor, describe
from dlas_ops.processor.usable_cores import core_count

te, topi = tvm.te, tvm.topi

Weights = list[NDArray[Any]]

# Every candidate of a problem has as many turns, of as many runs.
ROUNDS = 5
RUNS = 5

# A function of TVM's run time, on the device.
FILL = "tvm.contrib.random.random_fill_for_measure"


def blocks(channels: int, processor: Processor) -> list[int]:
    """Return the channel blocks that an activation may be held in, one for each layout that some algorithm wants."""
    return sorted({Asked(name).module.block(channels, processor) for name in implemented()})


class Program(NamedTuple):
    """A tensor program before scheduling and, where their values decide its time, its packed weights."""

    function: PrimFunc
    weights: Sequence[NDArray[Any]] = ()


def names(problem: Problem, target: Target) -> list[str]:
    """Return the names of the candidates.

    A convolution's candidates are ``algorithm/format``; those of an operator that keeps the layout it reads are the
    channel blocks; those of a conversion are ``from>to``, 0 being no blocks.
    """
    channels, processor = problem.conv.in_channels, describe(target)
    if problem.operator == "convert":
        both = blocks(channels, processor)
        wanted = [0, *both] if problem.plain else both
        return [f"{source}>{to}" for source in both for to in wanted if source != to]
    convolves = problem.operator.endswith("conv2d")
    fit = fitting(problem.conv, target, problem.format, problem.dtype) if convolves else []
    return [str(asked) for asked in fit] or [str(block) for block in blocks(channels, processor)]


def programs(problem: Problem, target: Target) -> dict[str, Program]:
    """Return the tensor program of each candidate by its name."""
    processor = describe(target)
    with target:  # operators on integers ask for it
        return {name: _program(problem, name, processor) for name in names(problem, target)}


def _program(problem: Problem, name: str, processor: Processor) -> Program:
    if problem.operator == "convert":
        source, to = map(int, name.split(">"))
        return _conversion(problem, source, to, processor)
    return (
        _convolution(problem, Asked.parse(name), processor) if "/" in name else _follower(problem, int(name), processor)
    )


def _weight(problem: Problem) -> NDArray[Any]:
    """Return OIHW weights: zeros, or a random share of numbers, always the same, where zeros are left out."""
    conv = problem.conv
    shape = (conv.out_channels, conv.group_channels, *conv.kernel)
    if problem.format == "dense":
        return np.zeros(shape, problem.dtype)
    drawn = np.random.default_rng(0).random(shape, np.float32)
    return np.where(drawn < problem.density, 1 + 100 * drawn, 0).astype(problem.dtype)


def _convolution(problem: Problem, asked: Asked, processor: Processor) -> Program:
    conv, algorithm = problem.conv, asked.module
    packed = algorithm.pack(_weight(problem), conv, processor)
    parts = packed if isinstance(packed, tuple) else (packed,)
    data = _activation(problem, 0 if problem.plain else algorithm.block(conv.in_channels, processor), processor)
    weights = [_weights(problem, part, f"weight_{index}") for index, part in enumerate(parts)]
    function = _with_epilogue(problem, [data, *weights], algorithm.compute(conv, data, *weights, processor), processor)
    return Program(function, () if problem.format == "dense" else parts)


def _weights(problem: Problem, packed: NDArray[Any], name: str) -> Tensor:
    """Return the argument for `packed` weights, in the narrow dtype that floats are stored in."""
    narrow = problem.dtype in NARROW and packed.dtype == np.float32
    return te.placeholder(packed.shape, problem.dtype if narrow else str(packed.dtype), name)


def _follower(problem: Problem, block: int, processor: Processor) -> Program:
    conv = problem.conv
    data = _activation(problem, block, processor)
    if problem.operator == "depthwise_conv2d":
        packed = depthwise.pack(_weight(problem), ceil(conv.in_channels / block), block)
        weight = _weights(problem, packed, "weight")
        return Program(
            _with_epilogue(problem, [data, weight], depthwise.compute(conv, data, weight, processor), processor)
        )
    kind = problem.operator.partition("_")[0]
    output = pooling.compute(conv, data, kind, False, processor)
    if output.dtype == "int32":
        return Program(_with_epilogue(problem, [data], output, processor))
    return Program(te.create_prim_func([data, _rounded(problem, output)]))


def _conversion(problem: Problem, source: int, to: int, processor: Processor) -> Program:
    conv = problem.conv
    shape = (conv.batch, conv.in_channels, conv.height, conv.width)
    data = _activation(problem, source, processor)
    return Program(te.create_prim_func([data, layout.pack(data, shape, to) if to else layout.unpack(data, shape)]))


def _activation(problem: Problem, block: int, processor: Processor) -> Tensor:
    """Return the argument for the input in channel blocks of `block`, 0 being none and `POINTS` points innermost."""
    conv = problem.conv
    shape: tuple[int, ...] = (conv.batch, conv.in_channels, conv.height, conv.width)
    if block == POINTS:
        shape = (*shape[:2], points_innermost.pitch(conv.height * conv.width, processor))
    elif block:
        shape = (conv.batch, ceil(conv.in_channels / block), conv.height, conv.width, block)
    return te.placeholder(shape, stored(processor) if problem.dtype == "int8" else problem.dtype, "data")


def _with_epilogue(problem: Problem, arguments: Sequence[Tensor], output: Tensor, processor: Processor) -> PrimFunc:
    """Return the program of `output` with the epilogue that most layers have.

    That is a bias and ReLU or, of sums of integers, their requantization.
    """
    one = [1 for _ in output.shape]
    channels = [size if axis in (1, 4) else 1 for axis, size in enumerate(output.shape)]
    if problem.dtype == "int8":
        kinds = {"offset": "int32", "factor": "float32", "zero": "int32", "low": "float32", "high": "float32"}
        operands = [
            te.placeholder(channels if name in ("offset", "factor") else one, dtype, name)
            for name, dtype in kinds.items()
        ]
        return te.create_prim_func([*arguments, *operands, quantize.requantize(output, stored(processor), *operands)])
    bias = te.placeholder(channels, output.dtype, "bias")
    result = topi.nn.relu(topi.add(output, bias))
    return te.create_prim_func([*arguments, bias, _rounded(problem, result)])


def _rounded(problem: Problem, result: Tensor) -> Tensor:
    """Return `result` as it is stored."""
    return topi.cast(result, problem.dtype) if problem.dtype in NARROW else result


class Function(NamedTuple):
    """A function of a library, made by `eviction.to_time`, and the (shape, dtype) of its own arguments."""

    symbol: str
    arguments: list[tuple[list[int], str]]


@dataclass(frozen=True)
class Candidates:
    """The built candidates of some problems.

    Attributes
    ----------
    library : exports itself with ``export_library("candidates.tar")``
    functions : for each problem, candidate → function of the library; plain JSON values
    weights : function's symbol → its arguments after the first, where not any numbers will do
    """

    library: Library
    functions: list[dict[str, Function]]
    weights: dict[str, Weights]


def build(problems: Sequence[Problem], target: Target) -> Candidates:
    """Schedule and compile all candidates of `problems` into one library."""
    processor = describe(target)
    scheduled: dict[str, PrimFunc] = {}
    functions: list[dict[str, Function]] = []
    weights: dict[str, Weights] = {}
    for number, problem in enumerate(problems):
        own = {}
        for index, (name, (function, given)) in enumerate(programs(problem, target).items()):
            symbol = f"problem_{number}_{index}"
            program = to_time(schedule_function(function, processor), processor)
            scheduled[symbol] = program.with_attr("global_symbol", symbol)
            types = [parameter.ty for parameter in function.params]
            arguments = [([int(size) for size in kind.shape], str(kind.dtype)) for kind in types]
            own[name] = Function(symbol, arguments)
            if given:
                weights[symbol] = list(given)
        functions.append(own)
    return Candidates(tvm.compile(tvm.IRModule(scheduled), target, tir_pipeline=PIPELINE), functions, weights)


def time_here(built: Candidates, evicted: int, device: Device) -> list[dict[str, float]]:
    """Return for each problem the median seconds of every candidate on a `device` of this machine; see `sample`."""
    # Workaround: TVM 0.27: to ask for its number of threads binds this one to a core; tests/workarounds
    eviction = Eviction(evicted, core_count(), device, tvm.get_global_func(FILL))
    library = built.library.jit()
    samples = [sample(library, eviction, own, built.weights) for own in built.functions]
    return [{name: statistics.median(times) for name, times in own.items()} for own in samples]


def sample(
    library: Library, eviction: Eviction, functions: Mapping[str, Function], weights: Mapping[str, Weights]
) -> dict[str, list[float]]:
    """Time the candidates of one problem in turns, so that what disturbs one disturbs all.

    Parameters
    ----------
    library : what `build` made, loaded where `eviction` is
    weights : what `build` made

    Returns
    -------
    dict
        Candidate → seconds of each run.
    """
    timers = {}
    for name, (symbol, arguments) in functions.items():
        arrays = [eviction.array(shape, dtype) for shape, dtype in arguments]
        for array, values in zip(arrays[1:], weights.get(symbol, []), strict=False):
            array.copyfrom(values)
        timers[name] = eviction.timer(library, symbol, RUNS), arrays
    samples: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(ROUNDS):
        for name, (timed, arrays) in timers.items():
            samples[name] += timed(arrays)
    return samples
