"""A layer's shape → a tensor program for each way to run it, and how long each takes on a device."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.asked import Asked, fitting, implemented
from dlas_ops.convolution import Conv
from dlas_ops.graph import Problem
from dlas_ops.operators import depthwise, layout, pooling
from dlas_ops.pipeline import PIPELINE
from dlas_ops.scheduling import schedule_function
from dlas_ops.targets import Cpu, describe

te = tvm.te

# Every candidate of a problem has as many turns, of as many runs.
ROUNDS = 5
RUNS = 5

# Functions of TVM's run time, on the device.
FILL = "tvm.contrib.random.random_fill_for_measure"
FLUSH = "cache_flush_cpu_non_first_arg"


def blocks(channels: int, cpu: Cpu) -> list[int]:
    """Return the channel blocks that an activation may be held in, one for each layout that some algorithm wants."""
    return sorted({Asked(name).module.block(channels, cpu) for name in implemented()})


def programs(problem: Problem, target: Any) -> dict[str, Any]:
    """Return the tensor program of each candidate, before scheduling, by its name.

    A convolution's candidates are ``algorithm/format``; those of an operator that keeps the layout it reads are the
    channel blocks; those of a conversion are ``from>to``, 0 being no blocks.
    """
    cpu = describe(target)
    conv = problem.conv
    match problem.operator:
        case "conv2d":
            fit = fitting(conv, target, problem.format, problem.dtype)
            return {str(asked): _convolution(problem, asked, cpu) for asked in fit}
        case "convert":
            both = blocks(conv.in_channels, cpu)
            return {
                f"{source}>{to}": _conversion(conv, source, to) for source in both for to in (0, *both) if source != to
            }
        case _:
            return {str(block): _follower(problem, block, cpu) for block in blocks(conv.in_channels, cpu)}


def _convolution(problem: Problem, asked: Asked, cpu: Cpu) -> Any:
    conv, algorithm = problem.conv, asked.module
    zeros = np.zeros((conv.out_channels, conv.group_channels, *conv.kernel), np.float32)
    packed = algorithm.pack(zeros, conv, cpu)
    data = _activation(conv, 0 if problem.plain else algorithm.block(conv.in_channels, cpu))
    weight = te.placeholder(packed.shape, str(packed.dtype), "weight")
    return _with_epilogue([data, weight], algorithm.compute(conv, data, weight, cpu))


def _follower(problem: Problem, block: int, cpu: Cpu) -> Any:
    conv = problem.conv
    data = _activation(conv, block)
    if problem.operator != "depthwise_conv2d":
        kind = problem.operator.partition("_")[0]
        return te.create_prim_func([data, pooling.compute(conv, data, kind, False, cpu)])
    zeros = np.zeros((conv.out_channels, 1, *conv.kernel), np.float32)
    packed = depthwise.pack(zeros, ceil(conv.in_channels / block), block)
    weight = te.placeholder(packed.shape, str(packed.dtype), "weight")
    return _with_epilogue([data, weight], depthwise.compute(conv, data, weight, cpu))


def _conversion(conv: Conv, source: int, to: int) -> Any:
    shape = (conv.batch, conv.in_channels, conv.height, conv.width)
    data = _activation(conv, source)
    return te.create_prim_func([data, layout.pack(data, shape, to) if to else layout.unpack(data, shape)])


def _activation(conv: Conv, block: int) -> Any:
    if not block:
        return te.placeholder((conv.batch, conv.in_channels, conv.height, conv.width), name="data")
    return te.placeholder((conv.batch, ceil(conv.in_channels / block), conv.height, conv.width, block), name="data")


def _with_epilogue(arguments: Sequence[Any], output: Any) -> Any:
    """Return the program of `output` with the epilogue that most layers have: a bias and ReLU."""
    bias = te.placeholder((1, output.shape[1], 1, 1, output.shape[4]), name="bias")
    zero = tvm.tirx.const(0.0, output.dtype)
    added = te.compute(output.shape, lambda n, co, h, w, ci: output[n, co, h, w, ci] + bias[0, co, 0, 0, ci], "biased")
    result = te.compute(output.shape, lambda *index: tvm.tirx.max(added[index], zero), "relu")
    return te.create_prim_func([*arguments, bias, result])


class Function(NamedTuple):
    """A function of a library, the (shape, dtype) of its arguments, and whether all but the first start uncached."""

    symbol: str
    arguments: list[tuple[list[int], str]]
    cold: bool


@dataclass(frozen=True)
class Candidates:
    """The built candidates of some problems.

    Attributes
    ----------
    library : exports itself with ``export_library("candidates.tar")``
    functions : for each problem, candidate → function of the library; plain JSON values
    """

    library: Any
    functions: list[dict[str, Function]]


def build(problems: Sequence[Problem], target: Any) -> Candidates:
    """Schedule and compile all candidates of `problems` into one library."""
    cpu = describe(target)
    scheduled: dict[str, Any] = {}
    functions = []
    for number, problem in enumerate(problems):
        own = {}
        for index, (name, function) in enumerate(programs(problem, target).items()):
            symbol = f"problem_{number}_{index}"
            scheduled[symbol] = schedule_function(function, cpu).with_attr("global_symbol", symbol)
            types = [parameter.ty for parameter in function.params]
            arguments = [([int(size) for size in kind.shape], str(kind.dtype)) for kind in types]
            own[name] = Function(symbol, arguments, is_cold(problem))
        functions.append(own)
    return Candidates(tvm.compile(tvm.IRModule(scheduled), target, tir_pipeline=PIPELINE), functions)


def is_cold(problem: Problem) -> bool:
    """Tell whether to time `problem` with nothing but its input in the caches.

    In a network, the other layers' weights have passed through the caches since a layer's own were last used. Timed
    with its weights still there, the layers of ResNet18 on 32x32 come to a quarter less than the network takes, without
    them to within a tenth of it. But TVM can flush the weights only together with the output, which a network has just
    in reach: done to all layers of MobileNetV2, that comes to 40 % more. So it is for weights that outweigh their
    output.
    """
    conv = problem.conv
    weights = conv.out_channels * conv.group_channels * prod(conv.kernel)
    outputs = conv.batch * conv.out_channels * conv.out_height * conv.out_width
    return problem.operator == "conv2d" and weights > outputs


def time_here(built: Candidates) -> list[dict[str, float]]:
    """Return for each problem the median seconds of every candidate, in this process."""
    library, fill = built.library.jit(), tvm.get_global_func(FILL)
    samples = [sample(library, tvm.cpu(), fill, own) for own in built.functions]
    return [{name: statistics.median(times) for name, times in own.items()} for own in samples]


def sample(library: Any, device: Any, fill: Any, functions: Mapping[str, Function]) -> dict[str, list[float]]:
    """Time the candidates of one problem in turns, so that what disturbs one disturbs all.

    Parameters
    ----------
    library : what `build` made, loaded where `device` is
    fill : the device's function of the name `FILL`

    Returns
    -------
    dict
        Candidate → seconds of each run.
    """
    timers = {}
    for name, (symbol, arguments, cold) in functions.items():
        arrays = [tvm.runtime.empty(shape, dtype, device) for shape, dtype in arguments]
        for array in arrays:
            fill(array)
        flush = FLUSH if cold else ""
        timers[name] = library.time_evaluator(symbol, device, number=1, repeat=RUNS, f_preproc=flush), arrays
    samples: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(ROUNDS):
        for name, (timer, arrays) in timers.items():
            samples[name] += timer(*arrays).results
    return samples
