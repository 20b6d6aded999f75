"""Model → an ONNX file for one image, batch norms folded, weights inside; the same bytes for the same weights."""

from __future__ import annotations

import contextlib
import functools
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from explorer.line.training.folding import folded


def export(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write `model` in evaluation mode, its input named ``image`` and its output ``logits``.

    Parameters
    ----------
    example
        Shape (1, C, H, W): the exported network takes this shape only.
    """
    _describe_operators_once()
    plain = model.eval()
    # Folding first halves the exporter's time, most of which goes into decomposing batch norms. A model that fx cannot
    # trace, which shows in all kinds of exceptions, is folded by the exporter's own optimizer.
    with contextlib.suppress(Exception):
        plain = folded(model, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            plain, (example,), input_names=["image"], output_names=["logits"], dynamo=True, verbose=False
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    program.save(path, external_data=False)


@functools.cache
def _describe_operators_once() -> None:
    """Make all exports of this process share the exporter's table of operators."""
    # Workaround: torch 2.14: each export makes that table anew, which takes longer than all else of a small network's;
    # tests/test_workarounds.py
    with contextlib.suppress(ImportError, AttributeError):  # private: a release without it exports at its own pace
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        made = functools.cache(ONNXRegistry.from_torchlib)
        setattr(ONNXRegistry, "from_torchlib", staticmethod(made))  # noqa: B010  # a method in a type checker's eyes
