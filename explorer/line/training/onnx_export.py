"""Model → an ONNX file for one image, batch norms folded, weights inside; the same bytes for the same weights."""

from __future__ import annotations

import contextlib
import functools
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from explorer.core.errors import Failure, StageFailed
from explorer.line.training import places
from explorer.line.training.folding import folded


def export(model: nn.Module, example: Tensor, path: Path, *, stage: str = "compress", fold: bool = True) -> None:
    """Write `model` in evaluation mode, its input named ``image`` and its output ``logits``.

    Parameters
    ----------
    example
        Shape (1, C, H, W): the exported network takes this shape only.
    stage
        That a failure names.
    fold
        Whether to fold batch norms first; else the network notes for each operator the line of the model's code.

    Raises
    ------
    StageFailed
        If torch cannot export the model; the message names the place in it where that is known.
    """
    _describe_operators_once()
    plain = model.eval()
    if fold:
        # Folding first halves the exporter's time, which mostly goes into decomposing batch norms. A model that fx
        # cannot trace, which shows in all kinds of exceptions, is folded by the exporter's own optimizer.
        with contextlib.suppress(Exception):
            plain = folded(model, example)
    try:
        try:
            program = _exported(plain, example)
        except Exception:
            if plain is model:
                raise
            program = _exported(model, example)  # an error of it knows the line
    except Exception as error:  # the exporter has no base for what it raises
        message = f"torch cannot export the network to ONNX: {places.reason(error)}{places.of_error(error, model)}"
        raise StageFailed(Failure(stage, "unsupported", message, str(error))) from error
    program.save(path, external_data=False)


def _exported(model: nn.Module, example: Tensor) -> torch.onnx.ONNXProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model, (example,), input_names=["image"], output_names=["logits"], dynamo=True, verbose=False
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    return program


@functools.cache
def _describe_operators_once() -> None:
    """Make all exports of this process share the exporter's table of operators."""
    # Workaround: torch 2.14: each export makes that table anew, which takes longer than all else of a small network's;
    # tests/workarounds
    with contextlib.suppress(ImportError, AttributeError):  # private: a release without it exports at its own pace
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        made = functools.cache(ONNXRegistry.from_torchlib)
        setattr(ONNXRegistry, "from_torchlib", staticmethod(made))  # noqa: B010  # a method in a type checker's eyes
