"""A layer of a compiled network → one line of the account: its work, the algorithm asked for and the one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Required, TypedDict


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
    reason : why `ran` differs from `asked`, or ""
    measured : "algorithm/format" → seconds, if measurements selected `ran`
    program : name of the tensor program that computes a layer with weights; "" for an operator without
    note : what the rules' schedule does without on this processor, and why; "" where it is as the rules have it. Known
        once the layer is built
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
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    measured: Mapping[str, float] = field(default_factory=dict)
    program: str = ""
    note: str = ""

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
