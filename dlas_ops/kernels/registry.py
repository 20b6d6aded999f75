"""Names of algorithms and weight formats → the modules that implement them, for all layers alike or by layer."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from dlas_ops._types import Target
from dlas_ops.kernels import algorithms
from dlas_ops.kernels.algorithm import Algorithm, SparseAlgorithm
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import describe

FORMATS = ("dense", "csr")


@dataclass(frozen=True)
class Asked:
    """An algorithm (a file in ``dlas_ops/kernels/algorithms``) and a weight format.

    `selected_by` is what was asked for in the first place, if an algorithm without kernels selected this one.

    Raises
    ------
    ValueError
        If there is no such algorithm or format.
    """

    algorithm: str
    format: str = "dense"
    selected_by: str = ""

    def __post_init__(self) -> None:
        known = names()
        if self.algorithm not in known:
            raise ValueError(f"unknown algorithm '{self.algorithm}'; there are {', '.join(known)}")
        if self.format not in FORMATS:
            raise ValueError(f"unknown format '{self.format}'; there are {', '.join(FORMATS)}")

    def __str__(self) -> str:
        return f"{self.algorithm}/{self.format}"

    @property
    def module(self) -> Algorithm:
        """The module of the algorithm in this format or, if it is not implemented in it, in dense."""
        package = "sparse" if self.format == "csr" and self.implemented else "algorithms"
        return cast(Algorithm, importlib.import_module(f"dlas_ops.kernels.{package}.{self.algorithm}"))

    @property
    def sparse_module(self) -> SparseAlgorithm:
        """The module of the algorithm for weights in compressed sparse rows."""
        return cast(SparseAlgorithm, importlib.import_module(f"dlas_ops.kernels.sparse.{self.algorithm}"))

    @property
    def implemented(self) -> bool:
        """Whether the algorithm has the format."""
        return self.format in importlib.import_module(f"dlas_ops.kernels.algorithms.{self.algorithm}").FORMATS

    def why_not(self, conv: Conv, dtype: str, target: Target) -> str | None:
        """Return why this cannot run `conv` on weights of `dtype`, or None."""
        if not self.implemented:
            return f"{self.algorithm} does not implement format {self.format}: its weights are stored dense"
        dtypes = self.module.DTYPES
        if self.format == "csr" and isinstance(describe(target), Gpu):
            dtypes = getattr(self.module, "GPU_DTYPES", ())
            if not dtypes:
                return f"{self} has programs for CPUs only: the weights are stored dense"
        if reason := self.module.supports(conv, target):
            return str(reason)
        return None if dtype in dtypes else f"{self} does not implement {dtype}"

    @classmethod
    def parse(cls, text: str, format: str = "dense") -> Asked:
        """Return what ``algorithm/format`` or, with the format given apart, ``algorithm`` asks for."""
        algorithm, _, own = text.partition("/")
        return cls(algorithm, own or format)


def names() -> list[str]:
    """Return the names of all algorithms, those that select among the others too, sorted."""
    return sorted(found.name for found in pkgutil.iter_modules(algorithms.__path__) if not found.name.startswith("_"))


def implemented() -> list[str]:
    """Return the names of the algorithms that have kernels of their own, sorted."""
    return [name for name in names() if not selects(name)]


def fitting(conv: Conv, target: Target, format: str, dtype: str) -> list[Asked]:
    """Return the algorithms that can run `conv` as it is, sorted by name."""
    every = [Asked(name, format) for name in implemented()]
    return [asked for asked in every if asked.why_not(conv, dtype, target) is None]


def selects(name: str) -> bool:
    """Tell whether the algorithm `name` has no kernels and selects among the others, layer by layer."""
    return name in names() and bool(
        getattr(importlib.import_module(f"dlas_ops.kernels.algorithms.{name}"), "SELECTS", False)
    )


@dataclass(frozen=True)
class Selection:
    """Algorithms selected by measuring, and the measurements.

    Attributes
    ----------
    asked : what they were selected for, "auto/dense"
    algorithms : layer → "algorithm/format"; "" is for what has no algorithm of its own but a layout
    measured : layer → "algorithm/format" → seconds
    expected : seconds of all that was chosen, with the conversions between layouts
    """

    asked: str
    algorithms: Mapping[str, str]
    measured: Mapping[str, Mapping[str, float]]
    expected: float

    def to_json(self) -> dict[str, Any]:
        """Return the selection as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Selection:
        """Return the selection that `to_json` described."""
        return cls(**fields)


class Choices:
    """Layer name → what is asked for it.

    Parameters
    ----------
    algorithm : one for all layers, or a mapping from layer names to ``algorithm/format``, with what the other layers
        get under "" (spatial_pack/dense unless it is there), or what was selected by measuring
    format : where `algorithm` does not say

    Raises
    ------
    ValueError
        If there is no such algorithm or format, or it selects by measuring and has not.
    """

    def __init__(self, algorithm: str | Mapping[str, str] | Selection, format: str = "dense") -> None:
        self.measured: Mapping[str, Mapping[str, float]] = {}
        if isinstance(algorithm, Selection):
            self.measured = algorithm.measured
            chosen = {name: Asked.parse(text, format) for name, text in algorithm.algorithms.items()}
            self._by_layer = {name: replace(asked, selected_by=algorithm.asked) for name, asked in chosen.items()}
        else:
            by_layer = {"": algorithm} if isinstance(algorithm, str) else {"": "spatial_pack", **algorithm}
            self._by_layer = {name: Asked.parse(text, format) for name, text in by_layer.items()}
        for asked in self._by_layer.values():
            if selects(asked.algorithm):
                raise ValueError(f"algorithm {asked.algorithm} selects by measuring: see dlas_ops.select")
        self.other = self._by_layer[""]

    def of(self, layer: str) -> Asked:
        """Return what is asked for `layer`."""
        return self._by_layer.get(layer, self.other)
