"""Types of stage ``mix``: a network in float32 and in 8-bit integers, and layers → the network with those quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import compress, data, quantize


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    quantized_layers : how many layers have 8-bit weights
    float_layers : how many could have them, and are in float32
    """

    quantized_layers: int
    float_layers: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The layers to quantize, sorted: stacks that choose the same ones share the network."""

    layers: Sequence[str]


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The images, the float32 network and its quantized form."""

    data: Artifact[data.Values]
    compress: Artifact[compress.Values]
    quantize: Artifact[quantize.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Quantizes some layers of a network."""

    name = "mix"
