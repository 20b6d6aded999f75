"""Tensor programs for convolutional networks on Apache TVM: ONNX model + target + algorithm → compiled library.

Importing this package loads neither TVM nor ONNX; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlas_ops.asked import Selection
    from dlas_ops.compiler import Compiled, Lowered, build, compile, load, lower, plan, save, select
    from dlas_ops.layers import Layer

__all__ = ["Compiled", "Layer", "Lowered", "Selection", "build", "compile", "load", "lower", "plan", "save", "select"]

_HOMES = {"Layer": "dlas_ops.layers", "Selection": "dlas_ops.asked"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dlas_ops' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "dlas_ops.compiler")), name)
