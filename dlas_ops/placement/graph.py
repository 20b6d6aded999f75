"""Layers and tensors of a placement → the graph on which an algorithm is chosen for each convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from dlas_ops._types import Array, Expr, Target
from dlas_ops.kernels.registry import fitting
from dlas_ops.kernels.shared.convolution import Conv

if TYPE_CHECKING:
    from dlas_ops.placement.value import Value


# Weights whose shares of non-zeros differ by less than this factor share one measurement.
DENSITY_STEP = 1.1

# Size of the column index beside each weight in csr.
COLUMN_BYTES = 4


@dataclass(frozen=True)
class Problem:
    """One computation to measure, once for all layers of the same shape.

    Attributes
    ----------
    operator : conv2d, depthwise_conv2d, max_pool2d, avg_pool2d, or convert for a change of layout
    conv : its shape; a pooling window and a change of layout are depthwise
    plain : whether the input is the network's own, which is in no blocks; for a conversion, whether a reader wants none
    dtype : dtype that weights and activations are stored in: float32, float16, or int8 for both signs
    format : format of the weights
    density : share of the weights that is not zero, if the format leaves zeros out; see `density_of`
    """

    operator: str
    conv: Conv
    plain: bool = False
    dtype: str = "float32"
    format: str = "dense"
    density: float = 1.0

    @property
    def weight_bytes(self) -> int:
        """The size of a convolution's weights, in csr with their column indices; 0 for any other operator."""
        if not self.operator.endswith("conv2d"):
            return 0
        weights = self.conv.out_channels * self.conv.group_channels * prod(self.conv.kernel)
        bytes_each = np.dtype(self.dtype).itemsize + (COLUMN_BYTES if self.format == "csr" else 0)
        return round(weights * self.density * bytes_each)

    def to_json(self) -> dict[str, object]:
        """Return the problem as plain JSON values."""
        fields = asdict(self)
        conv = {key: list(value) if isinstance(value, tuple) else value for key, value in fields["conv"].items()}
        return {**fields, "conv": conv}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Problem:
        """Return the problem that `to_json` described."""
        conv = fields["conv"].items()
        shape: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in conv}
        return cls(**{**fields, "conv": Conv(**shape)})


def problem_of(conv: Conv, weight: Array, dtype: str, format: str, target: Target, *, plain: bool) -> Problem | None:
    """Return the problem whose candidates are measured for `conv` in `format` or, if no algorithm has it, dense.

    None means that no algorithm can run `conv`, so that there is nothing to choose.
    """
    for wanted in dict.fromkeys((format, "dense")):
        if fitting(conv, target, wanted, dtype):
            density = 1.0 if wanted == "dense" else density_of(weight)
            return Problem(conv.operator, conv, plain, dtype, wanted, density)
    return None


def density_of(weight: Array) -> float:
    """Return the share of `weight` that is not zero, in steps, so that layers pruned nearly alike share one density."""
    share = np.count_nonzero(weight) / weight.size
    return round(DENSITY_STEP ** round(log(share, DENSITY_STEP)), 6) if share else 0.0


@dataclass(frozen=True)
class Join:
    """A tensor that may need a conversion: the layer that decided its layout, and the layers that read it in theirs.

    `shape` is NCHW, `dtype` as in `Problem`, or the dtype of sums. A reader None wants the tensor in no blocks. A layer
    "" stands for all operators that have no algorithm of their own.
    """

    shape: tuple[int, ...]
    source: str
    readers: tuple[str | None, ...]
    dtype: str = "float32"

    @property
    def problem(self) -> Problem:
        """The conversion of the tensor."""
        batch, channels, height, width = self.shape
        conv = Conv(batch, channels, height, width, channels, (1, 1), groups=channels)
        return Problem("convert", conv, None in self.readers, self.dtype)


@dataclass(frozen=True)
class Graph:
    """The layers and joins to choose algorithms for; they do not depend on the algorithms that were placed.

    Attributes
    ----------
    problems : convolution layer → the problem that its candidates compute, in the network's order
    followers : (layer, problem) of operators that keep the layout that `layer` decided
    joins : the tensors that are read in the layout of another layer
    """

    problems: Mapping[str, Problem]
    followers: Sequence[tuple[str, Problem]]
    joins: Sequence[Join]

    def distinct(self) -> list[Problem]:
        """Return every problem to be measured, once."""
        conversions = [join.problem for join in self.joins]
        return list(dict.fromkeys([*self.problems.values(), *(problem for _, problem in self.followers), *conversions]))

    @property
    def weight_bytes(self) -> int:
        """The size of the weights of all convolutions, as `direct` stores them."""
        every = [*self.problems.values(), *(problem for _, problem in self.followers)]
        return sum(problem.weight_bytes for problem in every)

    def to_json(self) -> dict[str, object]:
        """Return the graph as plain JSON values."""
        return {
            "problems": {layer: problem.to_json() for layer, problem in self.problems.items()},
            "followers": [[layer, problem.to_json()] for layer, problem in self.followers],
            "joins": [[list(join.shape), join.source, list(join.readers), join.dtype] for join in self.joins],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Graph:
        """Return the graph that `to_json` described."""
        return cls(
            {layer: Problem.from_json(problem) for layer, problem in fields["problems"].items()},
            [(layer, Problem.from_json(problem)) for layer, problem in fields["followers"]],
            [Join(tuple(shape), source, tuple(readers), dtype) for shape, source, readers, dtype in fields["joins"]],
        )


class Recorder:
    """Gathers a `Graph` while a network is placed."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}
        self._followers: list[tuple[str, Problem]] = []
        self._reads: dict[Expr, tuple[Value, list[str | None]]] = {}

    def decides(self, layer: str, problem: Problem) -> None:
        """Note that an algorithm can be chosen for `layer`."""
        self._problems[layer] = problem

    def follows(self, value: Value, problem: Problem) -> None:
        """Note that `problem` runs on `value` in the layout that it is in."""
        self._followers.append((value.layer, problem))

    def reads(self, value: Value, layer: str | None) -> None:
        """Note that an operator reads `value` in the layout of `layer`, or in no blocks if that is None."""
        if value.block and layer != value.layer:
            _, readers = self._reads.setdefault(value.expression, (value, []))
            if layer not in readers:
                readers.append(layer)

    def position(self, layer: str) -> int:
        """Return the place of `layer` among the layers that an algorithm is chosen for; -1 if it is none of them."""
        return list(self._problems).index(layer) if layer in self._problems else -1

    def graph(self) -> Graph:
        """Return the graph, without layouts that no choice changes: all sparse algorithms want the same layout."""
        sparse = {layer for layer, problem in self._problems.items() if problem.format != "dense"}
        known = {"", None, *self._problems} - sparse
        followers = [(layer, problem) for layer, problem in self._followers if layer in known]
        joins = [
            Join(value.maps, value.layer, tuple(readers), _stored(value.dtype))
            for value, readers in self._reads.values()
        ]
        return Graph(self._problems, followers, [join for join in joins if known >= {join.source, *join.readers}])


def _stored(dtype: str) -> str:
    """Return the dtype of a tensor as `Problem` names it."""
    return "int8" if dtype == "uint8" else dtype
