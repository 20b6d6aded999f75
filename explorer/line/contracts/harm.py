"""Types of stage ``harm``: a network in float32 and in 8-bit integers → what the latter do in each layer alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.core.settings import Seed
from explorer.line import stage
from explorer.line.contracts import compress, data, quantize


class Values(TypedDict):
    """The values that the stage returns; its file has the layers.

    Attributes
    ----------
    harmed : how many layers were tried
    images : how many images they were tried on
    """

    harmed: int
    images: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The seed of the draw of training images."""

    seed: Seed


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The images, the float32 network and its quantized form."""

    data: Artifact[data.Values]
    compress: Artifact[compress.Values]
    quantize: Artifact[quantize.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Tells what quantizing each layer alone does to a network's output."""

    name = "harm"
