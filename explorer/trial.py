"""THE LINE: configuration → data → train → compress → (plan → select →) lower → tune → build → measure → Record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from explorer import plugins
from explorer.configuration import Configuration
from explorer.errors import Failure, StageFailed
from explorer.records import Record
from explorer.settings import Settings
from explorer.stage import Stage
from explorer.statistics import Interval
from explorer.store import Artifact


class Engine(Protocol):
    """Who runs stages: on this machine's worker processes, or elsewhere."""

    def run(self, stage: Stage) -> Artifact:
        """Return the stage's artifact, from the store or by executing it; raise StageFailed if it cannot be had."""

    def measure(self, stage: Stage, device: str) -> Interval:
        """Return the latency in ms on `device`, from the records or by measuring; raise StageFailed likewise."""

    def select(self, stage: Stage, device: str) -> Artifact:
        """Return the artifact of a stage that chooses by what was, or now is, measured of candidates on `device`.

        Those of which nothing is on record are built first, by the stage ``candidates``.
        """

    def target(self, device: str) -> Mapping[str, Any]:
        """Return the TVM target that `device` compiles for."""


def run(c: Configuration, settings: Settings, engine: Engine) -> Record | Failure:
    """Take one configuration down the stack; whatever of it is in the store already is not computed again."""
    try:
        return _line(c, settings, engine)
    except StageFailed as failed:
        return failed.failure


def _line(c: Configuration, settings: Settings, engine: Engine) -> Record:
    target = dict(engine.target(c.device))
    model = {"model": c.model, "width": c.width}
    compression = {"compression": c.compression, "ratio": c.ratio}
    placement = {"algorithm": c.algorithm, "format": c.format, "target": target}
    protocol = {"threads": c.threads, **settings.measure.model_dump()}

    data = engine.run(Stage("data", {"dataset": c.dataset, **settings.data.model_dump()}, {}))
    trained = engine.run(Stage("train", {**model, **settings.train.model_dump()}, {"data": data}))
    fine_tuning = {**model, **compression, **settings.compress.model_dump()}
    compressed = engine.run(Stage("compress", fine_tuning, {"data": data, "train": trained}))
    selected: dict[str, Artifact] = {}
    if plugins.literal("algorithm", c.algorithm, "SELECTS", default=False):
        planned = engine.run(Stage("plan", {"format": c.format, "target": target}, {"compress": compressed}))
        on_device = {**placement, "threads": c.threads, "device": c.device}
        selected["select"] = engine.select(Stage("select", on_device, {"plan": planned}), c.device)
    lowered = engine.run(Stage("lower", placement, {"compress": compressed, **selected}))
    tuned = engine.run(Stage("tune", {"tuning_trials": c.tuning_trials, "target": target}, {"lower": lowered}))
    built = engine.run(Stage("build", {"target": target}, {"lower": lowered, "tune": tuned}))
    measured = Stage("measure", protocol, {"build": built, "compress": compressed})
    latency = engine.measure(measured, c.device)

    # Every algorithm computes the same function up to rounding, which `measure` has checked: accuracy is the
    # compressed network's, computed once for all of them.
    network = {key: value for key, value in compressed.values.items() if not isinstance(value, (list, dict))}
    return Record(
        {
            **network,
            "latency_ms": latency.median,
            "latency_low_ms": latency.low,
            "latency_high_ms": latency.high,
            "size_bytes": built.values["size_bytes"],
            **lowered.values,
            "compress_key": compressed.key,
            "lower_key": lowered.key,
            "build_key": built.key,
            "measure_key": measured.key,
        }
    )
