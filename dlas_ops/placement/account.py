"""A layer of a compiled network → one line of the account: its work, the algorithm asked for and the one that runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Required, TypedDict

import numpy as np

from dlas_ops._types import Array


class Precision(TypedDict, total=False):
    """The fields of `Layer` that say how it computes, where that is not float32."""

    dtype: str
    arithmetic: str


class LayerFields(Precision, total=False):
    """The fields of `Layer` that a rule states as far as they apply."""

    name: str
    asked: str
    ran: Required[str]
    reason: str
    macs: int
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    measured: Mapping[str, float]
    stored_bytes: int
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One line of the per-layer account; `to_json` returns it as plain JSON values.

    Attributes
    ----------
    name : the ONNX weight's name or, without weights, the operator with a running number
    operator : conv2d, depthwise_conv2d, grouped_conv2d, dense, max_pool2d, …
    input, weight, output : shapes as in the ONNX model; an operator without weights has an empty `weight`
    stride, padding, dilation, groups : as in ONNX; empty and 1 where they do not apply
    macs : multiply-accumulates of one run
    stored_bytes : size of the weights as the kernel reads them: packed, padded or transformed, in their dtype; in csr
        the values with their indices and pointers. Biases do not count
    asked, ran : "algorithm/format"
    dtype : dtype of the weights and the input as stored
    arithmetic : dtype of the products, with the dtype of their sums where it differs, and the reason where it is not
        `dtype`
    digests : of each array of the stored weights, see `digest`
    reason : why `ran` differs from `asked`, or ""
    measured : "algorithm/format" → seconds, if measurements selected `ran`
    """

    name: str
    operator: str
    input: tuple[int, ...]
    weight: tuple[int, ...]
    output: tuple[int, ...]
    asked: str
    ran: str
    reason: str = ""
    dtype: str = "float32"
    arithmetic: str = "float32"
    macs: int = 0
    stored_bytes: int = 0
    digests: tuple[str, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def as_asked(self) -> bool:
        """Whether the layer runs as asked."""
        return not self.reason

    def to_json(self) -> dict[str, object]:
        """Return the layer as plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Layer:
        """Return the layer that `to_json` described."""
        values: dict[str, Any] = {key: tuple(held) if isinstance(held, list) else held for key, held in fields.items()}
        return cls(**values)


def digest(weights: Array) -> str:
    """Return what tells stored weights from others: 16 hexadecimal digits."""
    return hashlib.blake2b(np.ascontiguousarray(weights).tobytes(), digest_size=8).hexdigest()


def run_by(programs: Iterable[tuple[str, Sequence[str]]], layers: Sequence[Layer]) -> list[tuple[str, ...]]:
    """Return for each of a network's `programs`, in the order of their calls, the names of the layers that it runs.

    A program runs the layers whose stored weights it reads. One without weights runs the next layer of the operator
    that it is named after. Other programs, such as conversions between layouts, run none.

    Parameters
    ----------
    programs : name and digests of the constants of each
    layers : the network's account
    """
    left = list(layers)
    found = []
    for name, constants in programs:
        weighted = [layer for layer in left if layer.digests and set(layer.digests) <= set(constants)]
        plain = [layer for layer in left if not layer.digests and re.match(rf"(fused_)?{layer.operator}\d*(_|$)", name)]
        own = _distinct(weighted) or plain[:1]
        left = [layer for layer in left if layer not in own]
        found.append(tuple(layer.name for layer in own))
    return found


def _distinct(layers: Sequence[Layer]) -> list[Layer]:
    """Return the first of all layers that have the same weights: each has a program of its own."""
    return list({layer.digests: layer for layer in reversed(layers)}.values())[::-1]
