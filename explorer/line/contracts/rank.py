"""Types of stage ``rank``: harm of 8 bits in each layer, and time saved → the layers in the order to quantize in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import harm, profile


class Values(TypedDict):
    """The values that the stage returns; its file has what they follow from.

    Attributes
    ----------
    order : the layers that 8 bits make faster, the one that loses least for the time that it saves first
    slower : how many layers 8 bits do not make faster
    """

    order: Sequence[str]
    slower: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """None: the parents decide."""


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The harm of 8 bits in each layer, and the profiles of both networks on the device."""

    harm: Artifact[harm.Values]
    exact: Artifact[profile.Values]
    quantized: Artifact[profile.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Ranks a network's layers by what quantizing them harms for the time that it saves."""

    name = "rank"
