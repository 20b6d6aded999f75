"""Tensor programs for convolutional networks on Apache TVM: ONNX model + target + algorithm → compiled library.

Importing this package loads neither TVM nor ONNX; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlas_ops.compiler import Compiled, Timed, build, build_ticking, compile, harms, lower, plan, quantize, select
    from dlas_ops.kernels.registry import Selection
    from dlas_ops.lowering import Lowered, load, save
    from dlas_ops.onnx.batching import with_batch
    from dlas_ops.onnx.mixing import mixed, quantized_layers
    from dlas_ops.placement.account import Layer

__all__ = [
    "Compiled",
    "Layer",
    "Lowered",
    "Selection",
    "Timed",
    "build",
    "build_ticking",
    "compile",
    "harms",
    "load",
    "lower",
    "mixed",
    "plan",
    "quantize",
    "quantized_layers",
    "save",
    "select",
    "with_batch",
]

_HOMES = {  # of what the compiler does not define itself
    "Layer": "dlas_ops.placement.account",
    "Lowered": "dlas_ops.lowering",
    "Selection": "dlas_ops.kernels.registry",
    "load": "dlas_ops.lowering",
    "mixed": "dlas_ops.onnx.mixing",
    "quantized_layers": "dlas_ops.onnx.mixing",
    "save": "dlas_ops.lowering",
    "with_batch": "dlas_ops.onnx.batching",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dlas_ops' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "dlas_ops.compiler")), name)
