"""An engine that executes nothing and remembers what the line asked it for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.measurement.sessions import Estimate
from explorer.core.measurement.statistics import Interval
from explorer.line import contracts
from explorer.line.stage import A, P, Parents, Stage
from explorer.line.trials.dry_run import CountingEngine
from explorer.space.devices import Device

BOARD = Device(name="board", tracker="10.0.0.1:9190", key="board", target={"kind": "llvm", "mcpu": "cortex-a72"})
LOCAL = Device(name="local", tracker="loopback", key="local")
LATENCY = Estimate(Interval(3.0, 2.5, 3.5), 1)
FOLDER = Path("images")  # that the data set lies in


class NotingEngine(CountingEngine):
    """Answers as `CountingEngine` does, for this machine and a board with another target; every latency is 3 ms."""

    def __init__(self) -> None:
        super().__init__({"local": LOCAL, "board": BOARD})
        self.stages: list[Stage] = []  # all that were asked for, in order
        self.executed: dict[str, Parents] = {}  # stage → the parents that its last execution would have had

    def stage(self, name: str) -> Stage:
        """Return the only stage of a name that was asked for."""
        [found] = [stage for stage in self.stages if stage.name == name]
        return found

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        self.executed[stage.name] = equivalent() if equivalent else stage.parents
        self.stages.append(stage)
        return super().run(stage)

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        self.stages.append(stage)
        super().measure(stage, device)
        return LATENCY

    def select(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.select.Values]:
        self.stages.append(stage)
        return super().select(stage, device)

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        self.stages.append(stage)
        return super().tune(stage, device)

    def confirm(self, stage: contracts.confirm.Stage, device: str) -> Artifact[contracts.confirm.Values]:
        self.stages.append(stage)
        return super().confirm(stage, device)

    def profile(self, stage: contracts.profile.Stage, device: str) -> Artifact[contracts.profile.Values]:
        self.stages.append(stage)
        return super().profile(stage, device)

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        return {**super().outside(c), "data": {"source": Artifact("source", c.dataset, FOLDER)}}

    def lanes(self, device: str) -> int:
        return 16
