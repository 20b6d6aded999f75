"""A study whose stages are all in the store, and an engine that measures by a function, on real records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.errors import StageFailed
from explorer.core.measurement.sessions import Estimate, Session
from explorer.engines.engine import Engine
from explorer.line import contracts
from explorer.line.stage import A, P, Stage
from explorer.line.trials import trial
from explorer.search.refinement import Refinement
from explorer.space import space
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records
from tests.explorer import spaces
from tests.explorer.noting import NotingEngine
from tests.studies import OBJECTIVES, Events

# The key of a measurement, its device, and how many sessions it has had there → the next session.
Measures = Callable[[str, str, int], Session | StageFailed]


class MeasuringEngine(NotingEngine):
    """Has every artifact but those of the stages in `gone`.

    Attributes
    ----------
    sessions : key and device of every session, in their order
    patience : seconds that each was to wait at most
    """

    def __init__(self, records: Records, measures: Measures) -> None:
        super().__init__()
        self.gone: set[str] = set()  # keys of artifacts
        self.sessions: list[tuple[str, str]] = []
        self.patience: list[float] = []
        self.measures, self._records = measures, records

    def look(self, stage: Stage[P, A, V]) -> Artifact[V] | None:
        return None if stage.key in self.gone else super().run(stage)

    def known(self, stage: contracts.measure.Stage, device: str) -> Estimate | None:
        return self._records.sessions.latency(stage.key, device)

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        return self.known(stage, device) or self.measure_again(stage, device)

    def measure_again(self, stage: contracts.measure.Stage, device: str, patience: float = 0.0) -> Estimate:
        key = stage.key
        self.patience.append(patience)
        session = self.measures(key, device, self.taken[key, device])
        if isinstance(session, StageFailed):
            raise session
        self.sessions.append((key, device))
        self._records.measurements.add_session(key, device, stage.parameters.threads, session, [session.median_ms], {})
        known = self.known(stage, device)
        assert known is not None
        return known

    @property
    def taken(self) -> Counter[tuple[str, str]]:
        """How many sessions each key has had on each device."""
        return Counter(self.sessions)


class MeasuredStudy:
    """A study with complete trials, each after one session.

    Parameters
    ----------
    count
        Of its stacks, at most 96.
    accuracies
        Of each stack; 0.9 unless given.
    protocol
        Table ``measure`` of its space, such as ``sessions=3``.
    """

    def __init__(
        self,
        root: Path,
        measures: Measures,
        count: int = 3,
        device: str = "local",
        accuracies: Mapping[int, float] | None = None,
        **protocol: Any,
    ) -> None:
        path = root / "measured.toml"
        axes = {"dataset": "digits", "model": ["resnet18", "mobilenetv2"], "width": [0.25, 0.5, 0.75, 1.0]}
        choices = {"algorithm": ["direct", "gemm", "winograd", "spatial_pack"], "threads": 1}
        path.write_text(spaces.render({**axes, **choices}, (), "measured", objectives=OBJECTIVES, measure=protocol))
        self.space: Space = space.load(path)
        self.records = Records(f"sqlite:///{root}/study.db")
        self.engine = MeasuringEngine(self.records, measures)
        self.observer = Events()
        self.keys: list[str] = []
        drawn = [
            Configuration("digits", model, width / 100, algorithm=algorithm, device=device)
            for width in range(20, 44)
            for model in ("resnet18", "mobilenetv2")
            for algorithm in ("direct", "gemm")
        ]
        for number, configuration in enumerate(drawn[:count]):
            outcome = trial.run(configuration, self.space.settings, self.engine)
            assert isinstance(outcome, Record)
            self.keys.append(str(outcome.values["measure_key"]))
            accuracy = (accuracies or {}).get(number, 0.9)
            record = Record({**outcome.values, "accuracy": accuracy, "size_bytes": 1000})
            self.records.add_trial("measured", number, configuration, record, 1.0)

    def refinement(self) -> Refinement:
        """Return what adds sessions to the study."""
        return Refinement(self.space, self.records, cast(Engine, self.engine), self.observer)

    @property
    def values(self) -> list[Mapping[str, Any]]:
        """What is on record of each stack."""
        return [record.values for _, _, record in self.records.complete("measured")]

    def taken(self, device: str = "local") -> list[int]:
        """Return how many sessions each stack has had on a device."""
        return [self.engine.taken[key, device] for key in self.keys]
