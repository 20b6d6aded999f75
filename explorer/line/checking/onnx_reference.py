"""ONNX network → onnx's operators in NumPy that evaluate it, with transposed convolutions of several groups right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops.op_conv_transpose import ConvTranspose as OfOneGroup

Array = NDArray[Any]
Sizes = Sequence[int] | None


class ConvTranspose(OfOneGroup):
    """A transposed convolution, computed group by group."""

    # Workaround: onnx 1.23: its own takes each group the wrong weights, and all groups the bias of the first;
    # tests/workarounds
    op_domain = ""

    def _run(
        self,
        X: Array,  # onnx calls its inputs so
        W: Array,
        B: Array | None = None,
        auto_pad: str | None = None,
        dilations: Sizes = None,
        group: int | None = None,
        kernel_shape: Sizes = None,
        output_padding: Sizes = None,
        output_shape: Sizes = None,
        pads: Sizes = None,
        strides: Sizes = None,
    ) -> tuple[Array]:
        """Return the images, (N, channels, …), that are made of `X`."""
        groups = group or 1
        biases = np.split(B, groups) if B is not None else [None] * groups
        found = []
        for images, weight, bias in zip(np.split(X, groups, 1), np.split(W, groups), biases, strict=True):
            attributes = (auto_pad, dilations, 1, kernel_shape, output_padding, output_shape, pads, strides)
            found.append(super()._run(images, weight, bias, *attributes)[0])  # type: ignore[no-untyped-call]
        return (np.concatenate(found, 1),)


def evaluator_of(network: onnx.ModelProto) -> Any:
    """Return what runs `network`; its `run` is that of `onnx.reference.ReferenceEvaluator`."""
    return ReferenceEvaluator(network, new_ops=[ConvTranspose])
