"""Model, as ONNX or as PyTorch exports it → the ONNX model that is compiled."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import onnx


def as_onnx(model: Any) -> onnx.ModelProto:
    """Return `model` itself or, of a ``torch.export.ExportedProgram``, its ONNX form with batch norms folded.

    An exported program comes with torch loaded; this module never loads it.

    Raises
    ------
    TypeError
        If `model` is neither.
    """
    if isinstance(model, onnx.ModelProto):
        return model
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.export.ExportedProgram):
        raise TypeError(f"a model is an onnx.ModelProto or a torch.export.ExportedProgram, not {type(model)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model, dynamo=True, verbose=False)
    return program.model_proto  # type: ignore[no-any-return]
