"""Types of stage ``lower``: a network, an algorithm, a format, a dtype and a target → a Relax module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import select
from explorer.line.contracts.compress import Network


class Numerics(TypedDict):
    """All that decides a network's outputs beyond the rounding of sums; see `explorer.line.stages.lower.numerics`.

    Attributes
    ----------
    dtype : the narrowest that a layer has
    layers : name → its arithmetic, where that is not float32's
    """

    dtype: str
    layers: dict[str, str]


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    convolutions : how many there are that an algorithm can be asked for
    convolutions_as_asked : how many of these run with the algorithm and format that were asked for
    weight_bytes : of all layers' weights as they are stored
    """

    convolutions: int
    convolutions_as_asked: int
    weight_bytes: int
    numerics: Numerics


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """With what the network is lowered, and how many images the network takes at once."""

    algorithm: str
    format: str
    dtype: str
    target: stage.Target
    batch: int = 1


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The network and, for an algorithm that selects among the others, what it selected."""

    network: Network
    select: Artifact[select.Values] | None = None


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Lowers a network."""

    name = "lower"
