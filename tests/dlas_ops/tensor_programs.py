"""A layer's shape or a definition → its tensor program, as defined and as scheduled, and what it computes here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, PrimFunc, Target, Tensor
from dlas_ops.kernels.scheduling import schedule_function
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.tunables import Choice
from dlas_ops.selection.candidates import programs
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named


def program(
    target: Target | str, conv: Conv, name: str, operator: str = "", *, dtype: str = "float32", density: float = 1.0
) -> PrimFunc:
    """Return the candidate `name` for `conv` on a target or a named processor, with its epilogue, not scheduled."""
    problem = Problem(
        operator or conv.operator, conv, operator == "convert", dtype, "csr" if name.endswith("/csr") else "dense",
        density,
    )  # fmt: skip
    return programs(problem, _target(target))[name].function


def scheduled(function: PrimFunc, target: Target | str, choice: Choice | None = None) -> PrimFunc:
    """Return `function` as the rules schedule it for a target or a named processor, or as `choice` says."""
    return schedule_function(function, describe(_target(target)), choice)


def _target(target: Target | str) -> Target:
    return named(target) if isinstance(target, str) else target


def ran(function: PrimFunc, inputs: Sequence[Array]) -> Array:
    """Return what `function`, compiled for this machine as it is, writes to its last argument."""
    library = tvm.compile(tvm.IRModule({"main": function}), networks.target(), tir_pipeline=PIPELINE)
    output = function.params[-1].ty
    result = np.zeros([int(size) for size in output.shape], str(output.dtype))
    arrays = [tvm.runtime.tensor(array) for array in (*inputs, result)]
    library["main"](*arrays)
    return np.asarray(arrays[-1].numpy())


def computed(output: Tensor, inputs: Sequence[Tensor], arrays: Sequence[Array]) -> Array:
    """Return what the definition `output` computes of `inputs` where these hold `arrays`."""
    return ran(tvm.te.create_prim_func([*inputs, output]), arrays)


def placeholders(*arrays: Array) -> list[Tensor]:
    """Return inputs of a definition that hold such arrays."""
    return [tvm.te.placeholder(array.shape, str(array.dtype), f"input_{i}") for i, array in enumerate(arrays)]


def blocked(array: Array, block: int) -> Array:
    """Return NCHW `array` in channel blocks, the last one filled with zeros."""
    batch, channels, height, width = array.shape
    filled = np.pad(array, ((0, 0), (0, -channels % block), (0, 0), (0, 0)))
    return np.ascontiguousarray(filled.reshape(batch, -1, block, height, width).transpose(0, 1, 3, 4, 2))


def plain(array: Array, channels: int) -> Array:
    """Return blocked `array` as NCHW."""
    batch, _, height, width, _ = array.shape
    return array.transpose(0, 1, 4, 2, 3).reshape(batch, -1, height, width)[:, :channels]
