"""A layer of a compiled network → one line of the account: its work, the algorithm asked for and the one that runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Required, TypedDict

from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import Window, conv_of
from dlas_ops.kernels.shared.transposed import Transposed

# Schedules of their own that run convolutions for which there is no algorithm.
OWN = ("depthwise/dense", "grouped/dense")


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
    operator : conv2d, depthwise_conv2d, grouped_conv2d, conv1d, conv_transpose2d, dense, max_pool2d, …
    input, weight, output : shapes as in the ONNX model; an operator without weights has an empty `weight`
    stride, padding, dilation, groups : as in ONNX; empty and 1 where they do not apply
    macs : multiply-accumulates of one run
    nonzeros : weights that are not zero, as the network has them; 0 for an operator without
    stored_bytes : size of the weights as the kernel reads them: packed, padded or transformed, in their dtype; in csr
        the values with their indices and pointers. Biases do not count
    asked, ran : "algorithm/format"; the same where no algorithm can be asked for, as of a depthwise convolution
    dtype : dtype of the weights and the input as stored
    arithmetic : dtype of the products, with the dtype of their sums where it differs, and the reason where it is not
        `dtype`; where a schedule has them in matrices, that too, once the layer is built
    reason : why `ran` differs from `asked`, or ""
    measured : "algorithm/format" → seconds, if measurements selected `ran`
    program, call : name of the tensor program that computes a layer with weights, and the position of its call among
        the network's; "" and -1 for an operator without
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
    call: int = -1
    note: str = ""
    nonzeros: int = 0

    @property
    def as_asked(self) -> bool:
        """Whether the layer runs as asked."""
        return not self.reason

    @property
    def can_ask(self) -> bool:
        """Whether an algorithm could be asked for."""
        return "/" in self.asked and not (self.asked == self.ran and self.ran in OWN)

    @property
    def conv(self) -> Conv:
        """The two-dimensional convolution that computes a convolution of any kind."""
        begin, end = self.padding[: len(self.stride)], self.padding[len(self.stride) :]
        window = Window(self.weight[2:], self.stride, begin, end, self.dilation)
        if "transpose" not in self.operator:
            return conv_of(self.input, self.weight[0], window, self.groups)
        channels = self.input[1] // self.groups, self.output[1] // self.groups
        form = Transposed(self.input[2:], window, (0,) * len(begin), self.groups, *channels)
        added = tuple(size - own for size, own in zip(self.output[2:], form.output(), strict=True))
        form = replace(form, output_padding=added)
        return conv_of(self.input, form.channels, form.ordinary(), self.groups)

    def to_json(self) -> dict[str, object]:
        """Return the layer as plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Layer:
        """Return the layer that `to_json` described."""
        values: dict[str, Any] = {key: tuple(held) if isinstance(held, list) else held for key, held in fields.items()}
        return cls(**values)


def run_by(programs: Iterable[str], layers: Sequence[Layer]) -> list[tuple[str, ...]]:
    """Return for each of a network's `programs`, in the order of their calls, the names of the layers that it runs.

    A program runs the layers with weights that the account says it computes; of a program that is called several times,
    each call runs the layers of one. One without weights runs the next layer of the operator that it is named after.
    Other programs, such as conversions between layouts, run none.
    """
    left = sorted(layers, key=lambda layer: layer.call)  # fusing may have changed the order of the account
    found = []
    for program in programs:
        computed = [layer for layer in left if layer.program == program]
        own = [layer for layer in computed if layer.call == computed[0].call] or [
            layer for layer in left if not layer.program and re.match(rf"(fused_)?{layer.operator}\d*(_|$)", program)
        ][:1]
        left = [layer for layer in left if layer not in own]
        found.append(tuple(layer.name for layer in own))
    return found
