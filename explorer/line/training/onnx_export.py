"""Model → an ONNX file for one image, batch norms folded, weights inside; the same bytes for the same weights."""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.core.errors import Failure, StageFailed
from explorer.line.training import places
from explorer.line.training.folding import folded

ATTENTION = "scaled_dot_product_attention"


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
    model.eval()
    try:
        try:
            program = _exported(model, example, fold)
        except Exception:
            if not _attends(model, example):
                raise
            # Workaround: torch 2.14: the exporter has no attention of tensors of five axes, as over windows, and fails
            # at what follows MaxViT's; tests/workarounds
            with mock.patch.object(functional, ATTENTION, attention):
                program = _exported(model, example, fold)
    except Exception as error:  # the exporter has no base for what it raises
        message = f"torch cannot export the network to ONNX: {places.reason(error)}{places.of_error(error, model)}"
        raise StageFailed(Failure(stage, "unsupported", message, str(error))) from error
    program.save(path, external_data=False)


def _exported(model: nn.Module, example: Tensor, fold: bool) -> torch.onnx.ONNXProgram:
    plain = model
    if fold:
        # Folding first halves the exporter's time, which mostly goes into decomposing batch norms. A model that fx
        # cannot trace, which shows in all kinds of exceptions, is folded by the exporter's own optimizer.
        with contextlib.suppress(Exception):
            plain = folded(model, example)
    try:
        return _by_torch(plain, example)
    except Exception:
        if plain is model:
            raise
        return _by_torch(model, example)  # an error of it knows the line


def _by_torch(model: nn.Module, example: Tensor) -> torch.onnx.ONNXProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model, (example,), input_names=["image"], output_names=["logits"], dynamo=True, verbose=False
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    return program


def _attends(model: nn.Module, example: Tensor) -> bool:
    """Tell whether `model` calls torch's attention."""
    with mock.patch.object(functional, ATTENTION, wraps=getattr(functional, ATTENTION)) as calls, torch.no_grad():
        model(example)
    return calls.called


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute torch's ``scaled_dot_product_attention`` in evaluation, without dropout, as two products and a softmax.

    Parameters
    ----------
    query, key, value
        Shapes (..., queries, E), (..., keys, E) and (..., keys, V). With `enable_gqa` the axis before the last two has
        as many heads in `query` as a multiple of those in `key` and `value`.
    attn_mask
        Broadcasts to (..., queries, keys): true where a key counts, or what is added to its score.
    """
    if enable_gqa:
        key, value = (each.repeat_interleave(query.shape[-3] // each.shape[-3], -3) for each in (key, value))
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    scores = query * (query.shape[-1] ** -0.5 if scale is None else scale) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1) @ value


@functools.cache
def _describe_operators_once() -> None:
    """Make all exports of this process share the exporter's table of operators."""
    # Workaround: torch 2.14: each export makes that table anew, which takes longer than all else of a small network's;
    # tests/workarounds
    with contextlib.suppress(ImportError, AttributeError):  # private: a release without it exports at its own pace
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        made = functools.cache(ONNXRegistry.from_torchlib)
        setattr(ONNXRegistry, "from_torchlib", staticmethod(made))  # noqa: B010  # a method in a type checker's eyes
