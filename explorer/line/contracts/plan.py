"""Types of stage ``plan``: a network → the layers that an algorithm which selects has to measure candidates for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from explorer.line import stage
from explorer.line.contracts.compress import Network

Problem = Mapping[str, object]  # what layers that are alike compute: the fields of `dlas_ops.placement.graph.Problem`


class Planned(TypedDict):
    """A problem and the names of the candidate kernels for it."""

    problem: Problem
    candidates: list[str]


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    problems : one for layers that are alike
    evicted_bytes : what a run of the network displaces from the caches between two runs of a layer
    """

    problems: list[Planned]
    evicted_bytes: int


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The weights' format, the dtype, the target of the kernels, and how many images the network takes at once."""

    format: str
    dtype: str
    target: stage.Target
    batch: int = 1


@dataclass(frozen=True)
class Parents(stage.Parents):
    """The network."""

    network: Network


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Lists what there is to measure of a network's layers."""

    name = "plan"
