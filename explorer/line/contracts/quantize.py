"""Types of stage ``quantize``: a float32 network and training images → the network on 8-bit integers as ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.core.settings import QuantizeSettings
from explorer.line import stage
from explorer.line.contracts import compress, data


class Values(TypedDict):
    """The number of images that the scales were taken from."""

    calibration_images: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """``[quantize]``."""

    settings: QuantizeSettings


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The images and the network to quantize."""

    data: Artifact[data.Values]
    compress: Artifact[compress.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Quantizes a network after its training."""

    name = "quantize"
