"""What is asked for a layer: algorithm and weight format, for all layers alike or by layer."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from dlas_ops import algorithms
from dlas_ops.convolution import Conv

FORMATS = ("dense", "csr")


@dataclass(frozen=True)
class Asked:
    """An algorithm (a file in ``dlas_ops/algorithms``) and a weight format.

    Raises
    ------
    ValueError
        If there is no such algorithm or format.
    """

    algorithm: str
    format: str = "dense"

    def __post_init__(self) -> None:
        known = names()
        if self.algorithm not in known:
            raise ValueError(f"unknown algorithm '{self.algorithm}'; there are {', '.join(known)}")
        if self.format not in FORMATS:
            raise ValueError(f"unknown format '{self.format}'; there are {', '.join(FORMATS)}")

    def __str__(self) -> str:
        return f"{self.algorithm}/{self.format}"

    @property
    def module(self) -> ModuleType:
        """The module of the algorithm in this format or, if it is not implemented in it, in dense."""
        package = "sparse" if self.format == "csr" and self.implemented else "algorithms"
        return importlib.import_module(f"dlas_ops.{package}.{self.algorithm}")

    @property
    def implemented(self) -> bool:
        """Whether the algorithm has the format."""
        return self.format in importlib.import_module(f"dlas_ops.algorithms.{self.algorithm}").FORMATS

    def why_not(self, conv: Conv, dtype: str, target: Any) -> str | None:
        """Return why this cannot run `conv` on weights of `dtype`, or None."""
        if not self.implemented:
            return f"{self.algorithm} does not implement format {self.format}: its weights are stored dense"
        if reason := self.module.supports(conv, target):
            return str(reason)
        return None if dtype in self.module.DTYPES else f"{self} does not implement {dtype}"

    @classmethod
    def parse(cls, text: str, format: str = "dense") -> Asked:
        """Return what ``algorithm/format`` or, with the format given apart, ``algorithm`` asks for."""
        algorithm, _, own = text.partition("/")
        return cls(algorithm, own or format)


def names() -> list[str]:
    """Return the names of all algorithms, sorted."""
    return sorted(found.name for found in pkgutil.iter_modules(algorithms.__path__))


class Choices:
    """Layer name → what is asked for it.

    Parameters
    ----------
    algorithm : one for all layers, or a mapping from layer names to ``algorithm/format``, with what the other layers
        get under "" (spatial_pack/dense unless it is there)
    format : where `algorithm` does not say
    """

    def __init__(self, algorithm: str | Mapping[str, str], format: str = "dense") -> None:
        by_layer = {"": algorithm} if isinstance(algorithm, str) else {"": "spatial_pack", **algorithm}
        self._by_layer = {name: Asked.parse(text, format) for name, text in by_layer.items()}
        self.other = self._by_layer[""]

    def of(self, layer: str) -> Asked:
        """Return what is asked for `layer`."""
        return self._by_layer.get(layer, self.other)
