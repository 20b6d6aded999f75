"""One frozen point of the Deep Learning Acceleration Stack, its canonical JSON, and the rules that make it valid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from explorer import plugins

# The DLAS layers, top to bottom, and the axes on each (Gibson et al., arXiv 2311.08909, figure 1).
LAYERS: Mapping[str, tuple[str, ...]] = {
    "Datasets & Problem Spaces": ("dataset",),
    "Models & Neural Architectures": ("model", "width"),
    "Model Optimizations": ("compression", "ratio"),
    "Algorithms & Data Formats": ("algorithm", "format"),
    "Systems Software": ("tuning_trials", "threads"),
    "Hardware": ("device",),
}
AXES: tuple[str, ...] = tuple(axis for axes in LAYERS.values() for axis in axes)
FORMATS: tuple[str, ...] = ("dense", "csr")


@dataclass(frozen=True)
class Configuration:
    """One choice on every axis of the stack.

    Parameters
    ----------
    width
        Multiplier of the model's channel counts.
    ratio
        Share of weights or channels that the compression removes, in (0, 1); None where nothing is removed.
    tuning_trials
        Candidates that the auto-scheduler measures; 0 means the rule-based schedule.
    threads
        Threads that the network runs on.
    """

    dataset: str
    model: str
    width: float = 1.0
    compression: str = "none"
    ratio: float | None = None
    algorithm: str = "direct"
    format: str = "dense"
    tuning_trials: int = 0
    threads: int = 1
    device: str = "local"

    @property
    def id(self) -> str:
        """Hexadecimal SHA-256 of the canonical JSON: equal exactly for equal configurations."""
        return digest(asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Return the axes as plain values, in the stack's order."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Configuration:
        """Return the configuration whose axes `values` gives; keys that are no axis are an error."""
        return Configuration(**values)


def canonical(value: Any) -> str:
    """Return `value` as canonical JSON: keys sorted, every scalar tagged with its type, so that 1, 1.0 and true differ.

    Raises
    ------
    TypeError
        For a value that is not made of dict, list, tuple, str, int, float, bool and None.
    """
    return json.dumps(_tagged(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the hexadecimal SHA-256 of ``canonical(value)``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _tagged(value: Any) -> Any:
    match value:
        case None:
            return None
        case bool():
            return {"bool": value}
        case int():
            return {"int": value}
        case float():
            return {"float": value.hex()}
        case str():
            return {"str": value}
        case list() | tuple():
            return [_tagged(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {"dict": {key: _tagged(item) for key, item in value.items()}}
    raise TypeError(f"{value!r} of type {type(value).__name__} has no canonical JSON")


def takes_ratio(compression: str) -> bool:
    """Tell whether `compression` removes a share of something, so that `ratio` exists."""
    return bool(plugins.literal("compression", compression, "TAKES_RATIO", default=True))


def _ratio_where_removed(c: Configuration) -> str | None:
    if takes_ratio(c.compression) and c.ratio is None:
        return f"compression {c.compression} needs a ratio"
    if not takes_ratio(c.compression) and c.ratio is not None:
        return f"compression {c.compression} takes no ratio"
    return None


def _csr_needs_zeros(c: Configuration) -> str | None:
    if c.format == "csr" and c.compression.split("+")[0] != "weight_pruning":
        return f"format csr needs weight_pruning: {c.compression} leaves no zeros to skip"
    return None


def _algorithm_has_format(c: Configuration) -> str | None:
    formats = plugins.literal("algorithm", c.algorithm, "FORMATS")
    return None if c.format in formats else f"algorithm {c.algorithm} has no kernels for format {c.format}"


# Each rule returns the reason why a configuration makes no sense, or None.
RULES: tuple[Callable[[Configuration], str | None], ...] = (
    _ratio_where_removed,
    _csr_needs_zeros,
    _algorithm_has_format,
)


def why_invalid(configuration: Configuration) -> str | None:
    """Return the first reason why `configuration` makes no sense on the stack, or None where it does."""
    return next((reason for rule in RULES if (reason := rule(configuration))), None)


assert tuple(field.name for field in fields(Configuration)) == AXES, "LAYERS and Configuration name the same axes"
