"""Search space → how often each stage is executed, by every configuration alone and by all together.

An engine that computes nothing runs the line itself: an execution that would happen twice has a key that it has seen.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from explorer.core import plugins
from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.measurement.sessions import Estimate
from explorer.core.measurement.statistics import Interval
from explorer.core.settings import Settings
from explorer.line import contracts
from explorer.line.stage import A, P, Stage, Target, content_key
from explorer.line.trials import trial
from explorer.line.trials.mixing import MOST_STEPS
from explorer.space.devices import Device

if TYPE_CHECKING:
    from explorer.space.space import Space

# By `explorer.line.stages.lower.numerics`, these differ in the order of sums, which is not in the key of `evaluate`.
SUMMING = frozenset(("direct", "gemm", "spatial_pack"))
NATIVE: Target = {"target": "native"}
NOWHERE = Path()  # the folder of artifacts that are not made
# Stage → the values that the line reads of its artifact, except for `numerics`.
VALUES: Mapping[str, Mapping[str, object]] = {
    "train": {"validation_accuracy": 0.0},
    "adopt": {"validation_accuracy": 0.0},
    "tune": {"layers_faster": 1},
    "confirm": {"faster": True, "ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0},
    "rank": {"order": [str(layer) for layer in range(2**MOST_STEPS)], "slower": 1},
    "build": {"size_bytes": 0, "memory_bytes": 0, "thread_bytes": 0},
    "evaluate": {"accuracy": 0.0, "accuracy_low": 0.0, "accuracy_high": 0.0},
}
# Stages that are executed for every choice of layers which the line tries for a stack that mixes dtypes.
IF_MIXED = {"mix", "plan", "select", "candidates", "lower", "build", "evaluate", "score"}
DEPEND_ON_LANES = {"compress", "quantize", "plan", "lower", "tune", "build", "confirm", "evaluate", "score", "measure"}
# Stages that are executed for a tuned stack only if tuning finds anything that is faster than the rules.
IF_TUNED = {"build", "confirm", "measure"}


@dataclass(frozen=True)
class StageCount:
    """How often a stage is executed if nothing fails.

    Parameters
    ----------
    alone
        Executions if every configuration started with an empty store.
    distinct
        Executions if all configurations share a store, as in a study.
    at_most
        Whether `distinct` is an upper bound, because only an execution above can tell what there is to do.
    """

    stage: str
    alone: int
    distinct: int
    at_most: bool


def count(space: Space) -> tuple[StageCount, ...]:
    """Return the executions of every stage that the grid over `space` needs, in the order of the line.

    A device without an entry counts as having a target of its own, one with an entry as having the target that it
    says; of two entries without a target both have this machine's.

    Raises
    ------
    SpaceError
        If an axis is continuous.
    """
    engine = CountingEngine(space.devices)
    places: dict[str, int] = {}  # the furthest that each stage has stood in a configuration's line
    for configuration in space.configurations():
        engine.asked.clear()
        engine.count(configuration, space.settings)
        for place, stage in enumerate(engine.asked):
            places[stage] = max(place, places.get(stage, 0))
    return tuple(
        StageCount(stage, engine.alone[stage], engine.distinct[stage], stage in engine.at_most)
        for stage in sorted(places, key=places.__getitem__)
    )


class CountingEngine:
    """Answers every stage with an artifact that has its key and the values that the line reads.

    Parameters
    ----------
    devices
        The entries of the devices file, by name.
    """

    def __init__(self, devices: Mapping[str, Device]) -> None:
        self.asked: dict[str, None] = {}  # the stages asked for since this was cleared, in order
        self.alone = Counter[str]()
        self.distinct = Counter[str]()
        self.at_most: set[str] = set()
        self._devices = devices
        self._sharing = True
        self._executed: set[tuple[str, object]] = set()
        self._known: dict[tuple[str, ...], str] = {}

    def count(self, configuration: Configuration, settings: Settings) -> tuple[Counter[str], Counter[str]]:
        """Count for one more configuration; return what it executes alone, and what with the store of all before."""
        alone, distinct = self.alone.copy(), self.distinct.copy()
        trial.run(configuration, settings, self)
        return self.alone - alone, self.distinct - distinct

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        """Count the stage, and what `equivalent` asks for where it would be executed."""
        key = self._key(stage)
        executed = self._count(stage.name, key)
        if equivalent:
            before = self.alone.copy()
            with contextlib.nullcontext() if executed else self._not_sharing():
                equivalent()
            if stage.name in self.at_most:
                self.at_most |= (self.alone - before).keys()
        return Artifact(stage.name, key, NOWHERE, cast(V, self._values(stage)))

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        """Count the measurement, which every device makes itself."""
        self._count(stage.name, (self._key(stage), device))
        return Estimate(Interval(0.0, 0.0, 0.0), 0)

    def select(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.select.Values]:
        """Count the selection and, before it, the building of candidates, which happens where any are not on record."""
        key = self._key(stage)
        self._count("candidates", key)
        self._count(stage.name, key)
        self.at_most.add("candidates")
        return Artifact(stage.name, key, NOWHERE)

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        """Count the tuning, which every device makes itself, as one that makes a layer faster."""
        self.at_most |= IF_TUNED
        return self._on_device(stage)

    def confirm(self, stage: contracts.confirm.Stage, device: str) -> Artifact[contracts.confirm.Values]:
        """Count the comparison, which every device makes itself, as one that the tuned library wins."""
        return self._on_device(stage)

    def profile(self, stage: contracts.profile.Stage, device: str) -> Artifact[contracts.profile.Values]:
        """Count the profile, which every device makes itself."""
        return self._on_device(stage)

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        """Return parents that stand for the data set's files and an ONNX file.

        Weights and code follow from choices that keys have.
        """
        onnx = {"network": Artifact("onnx", c.model, NOWHERE)} if plugins.is_onnx(c.model) else {}
        source = {"source": Artifact("source", c.dataset, NOWHERE)}
        return {"data": source, "train": onnx, "compress": {}, "score": {}}

    def lanes(self, device: str) -> int:
        """Return a number that is equal for devices of equal targets; TVM, which knows the width, is not asked."""
        targets = [self.target(name) for name in (*self._devices, device)]
        self.at_most |= DEPEND_ON_LANES  # widths that are equal, or that another configuration names, count apart
        return -1 - targets.index(self.target(device))

    def target(self, device: str) -> Target:
        """Return a target that is equal for devices that compile for the same one."""
        entry = self._devices.get(device)
        if entry is None:
            return {"device": device}
        return entry.target if isinstance(entry.target, dict) else NATIVE

    def identity(self, device: str) -> str | None:
        """Return None: no device is asked, and each counts what is measured on it by its name."""
        return None

    @property
    def host(self) -> Target:
        """A target that stands for this machine's."""
        return NATIVE

    def _key(self, stage: Stage) -> str:
        """Return the stage's key, which most stages were asked for before: it is hashed once."""
        parameters, parents = stage.parameters.keyed(), stage.parents.keyed()
        known = (stage.name, json.dumps(parameters), *parents, *parents.values())
        if known not in self._known:
            self._known[known] = content_key(stage.name, parameters, parents)
        return self._known[known]

    def _count(self, stage: str, key: object) -> bool:
        """Count one execution and return whether the store, shared by all configurations, lacks its result."""
        self.asked[stage] = None
        self.alone[stage] += 1
        if (stage, key) in self._executed or not self._sharing:
            return False
        self._executed.add((stage, key))
        self.distinct[stage] += 1
        return True

    def _on_device(self, stage: Stage[P, A, V]) -> Artifact[V]:
        """Count a stage whose key names its device."""
        key = self._key(stage)
        self._count(stage.name, key)
        return Artifact(stage.name, key, NOWHERE, cast(V, self._values(stage)))

    @contextlib.contextmanager
    def _not_sharing(self) -> Iterator[None]:
        """Count for the configuration alone, which would have executed what the store has."""
        self._sharing = False
        yield
        self._sharing = True

    def _values(self, stage: Stage) -> Mapping[str, object]:
        if isinstance(stage, contracts.lower.Stage):
            return {"numerics": self._numerics(stage)}
        if isinstance(stage, contracts.mix.Stage):
            self.at_most |= IF_MIXED
            return {"quantized_layers": len(stage.parameters.layers)}
        if isinstance(stage, contracts.evaluate.Stage) and stage.parents.network.values.get("quantized_layers", 1) != 1:
            return {"accuracy": math.nan}  # not good enough, so that the line tries fewer layers down to one
        if isinstance(stage, contracts.score.Stage):
            return {"value": stage.parents.evaluate.values["accuracy"], "low": 0.0, "high": 0.0, "test": 0.0}
        return VALUES.get(stage.name, {})

    def _numerics(self, stage: contracts.lower.Stage) -> dict[str, object]:
        """Return numerics that are equal for networks which share an evaluation, as far as known before lowering."""
        algorithm, dtype = stage.parameters.algorithm, stage.parameters.dtype
        if algorithm in SUMMING:
            return {"dtype": dtype}
        if stage.parents.select is None:
            if stage.parameters.batch > 1:
                self.at_most.add("evaluate")  # Winograd's tiles may be those of another batch
            return {"dtype": dtype, "algorithm": algorithm, "batch": stage.parameters.batch}
        if _selectable(dtype) <= SUMMING:
            return {"dtype": dtype}
        self.at_most.add("evaluate")  # which algorithms were selected decides
        return {"dtype": dtype, "selected": stage.parents.select.key}


def _selectable(dtype: str) -> frozenset[str]:
    """Return the algorithms with kernels of their own for `dtype`."""
    return frozenset(
        name
        for name in plugins.names("algorithm")
        if not plugins.literal("algorithm", name, "SELECTS", default=False)
        and dtype in plugins.literal("algorithm", name, "DTYPES")
    )
