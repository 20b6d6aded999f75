"""One point of the Deep Learning Acceleration Stack → what it asks for, its canonical JSON, and why it is invalid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from explorer.core import plugins

# The DLAS layers, top to bottom, and the axes on each (Gibson et al., arXiv 2311.08909, figure 1).
LAYERS: Mapping[str, tuple[str, ...]] = {
    "Datasets & Problem Spaces": ("dataset",),
    "Models & Neural Architectures": ("model", "width"),
    "Model Optimizations": ("compression", "ratio", "channel_multiple", "max_drop"),
    "Algorithms & Data Formats": ("algorithm", "format"),
    "Systems Software": ("batch", "tuning_trials", "tuning_seconds", "tuner", "threads"),
    "Hardware": ("device",),
}
AXES: tuple[str, ...] = tuple(axis for axes in LAYERS.values() for axis in axes)
LATER: tuple[str, ...] = ("max_drop",)  # axes that studies on record lack: without them a stack is named as it was
FORMATS: tuple[str, ...] = ("dense", "csr")
VECTOR = "vector"  # the channel multiple that is as many float32 as the target's vector registers hold
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Configuration:
    """One choice on every axis of the stack.

    Parameters
    ----------
    width
        Multiplier of the model's channel counts.
    compression
        One, or several joined by ``+`` in the order that they are applied in.
    ratio
        Share of weights or channels that every part of the compression removes, in (0, 1); None where nothing is.
    channel_multiple
        What the channels that a compression keeps are a multiple of: a number or `VECTOR`; None where none are removed.
    max_drop
        What a compression that mixes dtypes may lose of the accuracy or the user's own metric; None for any other.
    batch
        Images that the network takes at once.
    tuning_trials
        Candidates that the auto-scheduler measures for the network; 0 means no limit or, if there is none in seconds
        either, the rule-based schedules.
    tuning_seconds
        Seconds that it takes to build and measure candidates; 0 likewise.
    tuner
        What the candidates are taken from; None where nothing is tuned.
    threads
        Threads that the network runs on.
    device
        One, or several joined by ``+``: the stack is judged on all of them at once.
    """

    dataset: str
    model: str
    width: float = 1.0
    compression: str = "none"
    ratio: float | None = None
    channel_multiple: int | str | None = None
    max_drop: float | None = None
    algorithm: str = "direct"
    format: str = "dense"
    batch: int = 1
    tuning_trials: int = 0
    tuning_seconds: int = 0
    tuner: str | None = None
    threads: int = 1
    device: str = "local"

    @property
    def id(self) -> str:
        """Hexadecimal SHA-256 of the canonical JSON: equal exactly for equal configurations."""
        axes = asdict(self).items()
        return digest({axis: choice for axis, choice in axes if axis not in LATER or choice is not None})

    def as_dict(self) -> dict[str, Any]:
        """Return the axes as plain values, in the stack's order."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Configuration:
        """Return the configuration whose axes `values` gives; a key that is no axis raises TypeError."""
        return Configuration(**values)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that the stack is judged on."""
        return parts(self.device)

    @property
    def dtype(self) -> str:
        """The dtype that the network ends in: that of its compression's last part."""
        return dtype_of(self.compression)

    @property
    def in_float32(self) -> str:
        """The parts of the compression that change the float32 network, ``none`` if there are none."""
        return "+".join(part for part in parts(self.compression) if _changes(part)) or "none"

    @property
    def in_shapes(self) -> str | None:
        """The parts of the compression that change layers' shapes, ``none`` if none does; None if one may or may not.

        Those parts decide the shapes without any fine-tuning. So a network of dense kernels takes as long when it is
        compressed by them alone, before it is trained for what is removed. One that mixes dtypes does not: its accuracy
        decides which layers have which.
        """
        if self.max_drop is not None:
            return None
        changing = {
            part: plugins.literal("compression", part, "CHANGES_SHAPES", default=None)
            for part in parts(self.compression)
            if _changes(part)
        }
        if None in changing.values():
            return None
        return "+".join(part for part, changes in changing.items() if changes) or "none"

    @property
    def selects(self) -> bool:
        """Whether the algorithm selects one among the others for every layer."""
        return bool(plugins.literal("algorithm", self.algorithm, "SELECTS", default=False))

    @property
    def is_tuned(self) -> bool:
        """Whether a tuner has a budget, in candidates or in seconds."""
        return is_tuned(self.tuning_trials, self.tuning_seconds)


def canonical(value: object) -> str:
    """Return `value` as canonical JSON: keys sorted, every scalar tagged with its type, so that 1, 1.0 and true differ.

    Raises
    ------
    TypeError
        For a value that is not made of dict, list, tuple, str, int, float, bool and None.
    """
    return CANONICAL.encode(_tagged(value))


def digest(value: object) -> str:
    """Return the hexadecimal SHA-256 of ``canonical(value)``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _tagged(value: object) -> object:
    match value:  # the most frequent first, as samplers compute hundreds of keys before each trial
        case str():
            return {"str": value}
        case None:
            return None
        case bool():
            return {"bool": value}
        case int():
            return {"int": value}
        case float():
            return {"float": value.hex()}
        case list() | tuple():
            return [_tagged(item) for item in value]
        case dict() if {*map(type, value)} <= {str}:
            return {"dict": {key: _tagged(item) for key, item in value.items()}}
    raise TypeError(f"{value!r} of type {type(value).__name__} has no canonical JSON")


def parts(choice: str) -> tuple[str, ...]:
    """Return the names that a choice joins: of compressions, in the order that they are applied in, or of devices."""
    return tuple(choice.split("+"))


def takes_ratio(compression: str) -> bool:
    """Tell whether `compression` removes a share of something, so that `ratio` exists."""
    return any(plugins.literal("compression", part, "TAKES_RATIO", default=True) for part in parts(compression))


def takes_channel_multiple(compression: str) -> bool:
    """Tell whether `compression` removes channels, so that `channel_multiple` exists."""
    options = (plugins.literal("compression", part, "OPTIONS", default=()) for part in parts(compression))
    return any("channel_multiple" in names for names in options)


def takes_max_drop(compression: str) -> bool:
    """Tell whether `compression` quantizes only layers that cost little, so that `max_drop` exists."""
    return any(plugins.literal("compression", part, "TAKES_MAX_DROP", default=False) for part in parts(compression))


def takes_onnx(part: str) -> bool:
    """Tell whether a part of a compression can be had of an ONNX file, which PyTorch cannot train."""
    return not _changes(part) or bool(plugins.literal("compression", part, "TAKES_ONNX", default=False))


def is_tuned(trials: int, seconds: int) -> bool:
    """Tell whether a budget for the tuner is above 0, so that `tuner` exists."""
    return trials > 0 or seconds > 0


# Axis → the axes above it that decide whether it exists, and how; every other axis always exists.
EXISTS: Mapping[str, tuple[tuple[str, ...], Callable[..., bool]]] = {
    "ratio": (("compression",), takes_ratio),
    "channel_multiple": (("compression",), takes_channel_multiple),
    "max_drop": (("compression",), takes_max_drop),
    "tuner": (("tuning_trials", "tuning_seconds"), is_tuned),
}


def _changes(part: str) -> bool:
    return plugins.defines("compression", part, "compress")


def dtype_of(compression: str) -> str:
    """Return the dtype that a network ends in: that of the last part of its compression."""
    return _dtype(parts(compression)[-1])


def _dtype(part: str) -> str:
    return str(plugins.literal("compression", part, "DTYPE", default="float32"))


def _parts_combine(c: Configuration) -> str | None:
    names = parts(c.compression)
    for name in names:
        if names.count(name) > 1:
            return f"compression {c.compression} applies {name} twice"
    if "none" in names and len(names) > 1:
        return f"compression {c.compression}: none stands alone"
    for name in names[:-1]:
        if _dtype(name) != "float32":
            return f"compression {c.compression}: {name} decides the dtype of the whole network and stands last"
    for name in names[names.index("weight_pruning") + 1 :] if "weight_pruning" in names else ():
        if _changes(name) and not plugins.literal("compression", name, "KEEPS_ZEROS", default=False):
            return f"compression {c.compression}: {name} trains on and fills the zeros of weight_pruning before it"
    return None


def _devices_differ(c: Configuration) -> str | None:
    names = parts(c.device)
    twice = next((name for name in names if names.count(name) > 1), None)
    return f"device {c.device} names {twice} twice" if twice else None


def _axes_that_exist(c: Configuration) -> str | None:
    for axis, (deciding, exists) in EXISTS.items():
        choices = [getattr(c, name) for name in deciding]
        decided = " and ".join(f"{name} {choice}" for name, choice in zip(deciding, choices, strict=True))
        if exists(*choices) and getattr(c, axis) is None:
            return f"{decided} needs a {axis}"
        if not exists(*choices) and getattr(c, axis) is not None:
            return f"{decided} takes no {axis}"
    return None


def _width_exists(c: Configuration) -> str | None:
    if (plugins.of_library(c.model) or plugins.is_onnx(c.model)) and c.width != 1:
        return f"model {c.model} has no width other than 1, and is asked for at {c.width:g}"
    return None


def _onnx_needs_no_training(c: Configuration) -> str | None:
    for part in parts(c.compression) if plugins.is_onnx(c.model) else ():
        if not takes_onnx(part):
            able = [name for name in plugins.names("compression") if takes_onnx(name)]
            return (
                f"model {c.model} is an ONNX file, and {part} needs a model in PyTorch; allowed: {', '.join(able)}, "
                "or a constraint that forbids the two together"
            )
    return None


def _csr_needs_zeros(c: Configuration) -> str | None:
    if c.format == "csr" and "weight_pruning" not in parts(c.compression):
        return f"format csr needs weight_pruning: {c.compression} leaves no zeros to skip"
    return None


def _algorithm_has_format(c: Configuration) -> str | None:
    formats = plugins.literal("algorithm", c.algorithm, "FORMATS")
    return None if c.format in formats else f"algorithm {c.algorithm} has no kernels for format {c.format}"


def _algorithm_has_dtype(c: Configuration) -> str | None:
    wanted = c.dtype
    dense = plugins.literal("algorithm", c.algorithm, "DTYPES")
    if c.format == "dense":
        return None if wanted in dense else f"algorithm {c.algorithm} has no kernels for {wanted}"
    every = plugins.names("sparse")
    kernels = (c.algorithm,) if c.algorithm in every else every  # one that selects has those of all others
    if any(wanted in plugins.literal("sparse", name, "DTYPES", default=()) for name in kernels):
        return None
    return f"algorithm {c.algorithm} has no kernels for {wanted} in format {c.format}"


# Each rule returns the reason why a configuration makes no sense, or None.
RULES: tuple[Callable[[Configuration], str | None], ...] = (
    _parts_combine,
    _devices_differ,
    _width_exists,
    _axes_that_exist,
    _onnx_needs_no_training,
    _csr_needs_zeros,
    _algorithm_has_format,
    _algorithm_has_dtype,
)


# Axis → what the rules see of the choice on it; of one that is not here they see nothing.
SEEN: Mapping[str, Callable[[Any], object]] = {
    "model": str,
    "width": lambda width: width == 1,
    "compression": str,
    **dict.fromkeys(("ratio", "channel_multiple", "max_drop", "tuner"), lambda choice: choice is None),
    "algorithm": str,
    "format": str,
    **dict.fromkeys(("tuning_trials", "tuning_seconds"), lambda budget: budget > 0),
    "device": str,
}


def why_invalid(configuration: Configuration) -> str | None:
    """Return the first reason why `configuration` makes no sense on the stack, or None where it does."""
    return next((reason for rule in RULES if (reason := rule(configuration))), None)


assert tuple(field.name for field in fields(Configuration)) == AXES, "LAYERS and Configuration name the same axes"
