"""Protocol of engines: they execute stages for the line, count them, or look for their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.measurement.sessions import Estimate
from explorer.line import contracts
from explorer.line.stage import A, P, Stage, Target


class Engine(Protocol):
    """Runs stages: on this machine's worker processes, or elsewhere."""

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        """Return the stage's artifact, from the store or by executing it; raise StageFailed if it cannot be had.

        If the stage is to be executed, `equivalent` gives its parents with those added that enter no key.
        """

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        """Return the latency on `device`, from the records or by measuring; raise StageFailed likewise."""

    def select(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.select.Values]:
        """Return the artifact of a stage that chooses by earlier and new measurements of candidates on `device`.

        The stage ``candidates`` first builds those without a record.
        """

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        """Return the artifact of a stage that builds candidates and measures them on `device`."""

    def confirm(self, stage: contracts.confirm.Stage, device: str) -> Artifact[contracts.confirm.Values]:
        """Return the artifact of a stage that compares two libraries on `device`."""

    def profile(self, stage: contracts.profile.Stage, device: str) -> Artifact[contracts.profile.Values]:
        """Return the artifact of a stage that times each program of a network on `device`."""

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        """Return for each stage its parents that no stage makes; see `explorer.inputs.external`."""

    def lanes(self, device: str) -> int:
        """Return how many float32 a vector register of `device` holds."""

    def target(self, device: str) -> Target:
        """Return the TVM target that `device` compiles for."""

    def identity(self, device: str) -> str | None:
        """Return the key of what `device` says that it is; None where no device is asked."""

    @property
    def host(self) -> Target:
        """The TVM target of the machine that stages run on."""
