"""Types of stage ``instrument``: a lowered network and its schedules → a library that notes when each program ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from explorer.core.artifact import Artifact
from explorer.line import stage
from explorer.line.contracts import lower, tune
from explorer.line.contracts.compress import Network


class Call(TypedDict):
    """A call of a tensor program; see `dlas_ops.compiler.Timed`."""

    program: str
    layers: list[str]
    weight_bytes: int
    activation_bytes: int
    output: list[int]


class Weights(TypedDict):
    """The weights of a layer in the network: how many, how many are not zero, and the tensor that the layer makes."""

    size: int
    nonzeros: int
    tensor: str


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    calls : how many programs the network calls
    runs : how many runs its notes hold
    """

    calls: int
    runs: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The target."""

    target: stage.Target


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The network, lowered, and its schedules if it is tuned."""

    network: Network
    lower: Artifact[lower.Values]
    tune: Artifact[tune.Values] | None = None


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Compiles a network that notes times."""

    name = "instrument"
