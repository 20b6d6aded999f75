"""THE LINE: configuration → data → train → compress → lower → tune → build → evaluate → measure → Record.

Between compress and lower, int8 quantizes the network, and an algorithm that selects among others plans and selects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from explorer import configuration, plugins
from explorer.configuration import Configuration
from explorer.errors import Failure, StageFailed
from explorer.records import Record
from explorer.settings import Settings
from explorer.stage import Stage
from explorer.statistics import Interval
from explorer.store import Artifact


class Engine(Protocol):
    """Who runs stages: on this machine's worker processes, or elsewhere."""

    def run(self, stage: Stage, equivalent: Callable[[], Mapping[str, Artifact]] | None = None) -> Artifact:
        """Return the stage's artifact, from the store or by executing it; raise StageFailed if it cannot be had.

        `equivalent` gives, if it is to be executed, parents of which any will do: they do not enter the stage's key.
        """

    def measure(self, stage: Stage, device: str) -> Interval:
        """Return the latency in ms on `device`, from the records or by measuring; raise StageFailed likewise."""

    def select(self, stage: Stage, device: str) -> Artifact:
        """Return the artifact of a stage that chooses by what was, or now is, measured of candidates on `device`.

        Those of which nothing is on record are built first, by the stage ``candidates``.
        """

    def tune(self, stage: Stage, device: str) -> Artifact:
        """Return the artifact of a stage that builds candidates and measures them on `device`."""

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        """Return for each stage its parents that no stage makes; see `explorer.origins`."""

    def lanes(self, device: str) -> int:
        """Return how many float32 a vector register of `device` holds."""

    def target(self, device: str) -> Mapping[str, Any]:
        """Return the TVM target that `device` compiles for."""

    @property
    def host(self) -> Mapping[str, Any]:
        """The TVM target of the machine that stages run on."""


def run(c: Configuration, settings: Settings, engine: Engine) -> Record | Failure:
    """Take one configuration down the stack; whatever of it is in the store already is not computed again."""
    try:
        return _line(c, settings, engine)
    except StageFailed as failed:
        return failed.failure


def _line(c: Configuration, settings: Settings, engine: Engine) -> Record:
    model = {"model": c.model, "width": c.width}
    dtype = configuration.dtype(c.compression)
    # What only stores in fewer bits leaves the float32 network as it is: one is compressed for all such dtypes.
    changes = configuration.in_float32(c.compression)
    fine_tuning = settings.compress.model_dump() if changes != "none" else {}
    # As a number, so that devices with vectors of one width share the network.
    multiple = engine.lanes(c.device) if c.channel_multiple == configuration.VECTOR else c.channel_multiple
    tolerance = {"tolerance": settings.measure.allowed(dtype)}

    outside = engine.outside(c)
    data = engine.run(Stage("data", {"dataset": c.dataset, **settings.data.model_dump()}, outside["data"]))
    root = str(outside["data"]["source"].path)
    data = replace(data, values={**data.values, "root": root})  # where the images lie now, not in any key
    trained = engine.run(Stage("train", {**model, **settings.train.model_dump()}, {"data": data, **outside["train"]}))
    compression = {"compression": changes, "ratio": c.ratio, "channel_multiple": multiple, **model, **fine_tuning}
    compressed = engine.run(Stage("compress", compression, {"data": data, "train": trained, **outside["compress"]}))
    network = compressed
    if dtype == "int8":
        network = engine.run(Stage("quantize", settings.quantize.model_dump(), {"data": data, "compress": compressed}))
    above = {"network": network, **_selected(c, network, engine)}
    target, here = dict(engine.target(c.device)), dict(engine.host)
    lowered = _lower(c, target, above, engine)
    built = _build(c, target, lowered, engine, configuration.is_tuned(c.tuning_trials, c.tuning_seconds))

    # The accuracy on record is that of a compiled network, taken on this machine's cores, once for all networks that
    # compute the same up to rounding. For another target the network is compiled for this machine, too, and not tuned.
    evaluable = lowered if target == here else _lower(c, here, above, engine)
    evaluation = {"numerics": evaluable.values["numerics"], **tolerance, **settings.evaluate.model_dump()}
    evaluated = engine.run(
        Stage("evaluate", evaluation, {"data": data, "compress": compressed, "network": network}),
        lambda: {
            "lower": evaluable,
            "build": built if target == here else _build(c, here, evaluable, engine, tuned=False),
        },
    )
    protocol = {"threads": c.threads, **settings.measure.protocol(), **tolerance}
    measured = Stage("measure", protocol, {"network": network, "lower": lowered, "build": built})
    latency = engine.measure(measured, c.device)
    return Record(
        {
            **_plain(compressed.values),
            **_plain(evaluated.values),
            "latency_ms": latency.median,
            "latency_low_ms": latency.low,
            "latency_high_ms": latency.high,
            "size_bytes": built.values["size_bytes"],
            **_plain(lowered.values),
            "dtype": dtype,
            **{f"{made.stage}_note": made.values["note"] for made in (data, trained) if "note" in made.values},
            "train_key": trained.key,
            "compress_key": compressed.key,
            "lower_key": lowered.key,
            "build_key": built.key,
            "evaluate_key": evaluated.key,
            "measure_key": measured.key,
        }
    )


def _selected(c: Configuration, network: Artifact, engine: Engine) -> dict[str, Artifact]:
    """Return ``select``, what an algorithm that selects among others chose for the device; of another one nothing."""
    if not plugins.literal("algorithm", c.algorithm, "SELECTS", default=False):
        return {}
    chosen = {"format": c.format, "dtype": configuration.dtype(c.compression), "target": dict(engine.target(c.device))}
    planned = engine.run(Stage("plan", chosen, {"network": network}))
    on_device = {"algorithm": c.algorithm, **chosen, "threads": c.threads, "device": c.device}
    return {"select": engine.select(Stage("select", on_device, {"plan": planned}), c.device)}


def _lower(c: Configuration, target: Mapping[str, Any], above: Mapping[str, Artifact], engine: Engine) -> Artifact:
    """Return the network, lowered for `target` with the configuration's algorithm or what it selected."""
    dtype = configuration.dtype(c.compression)
    placement = {"algorithm": c.algorithm, "format": c.format, "dtype": dtype, "target": target}
    return engine.run(Stage("lower", placement, above))


def _build(c: Configuration, target: Mapping[str, Any], lowered: Artifact, engine: Engine, tuned: bool) -> Artifact:
    """Return the library of a network lowered for `target`, if `tuned` with the configuration's budget."""
    parents = {"lower": lowered}
    if tuned:
        budget = {"tuner": c.tuner, "tuning_trials": c.tuning_trials, "tuning_seconds": c.tuning_seconds}
        on_device = {**budget, "target": target, "threads": c.threads, "device": c.device}
        parents["tune"] = engine.tune(Stage("tune", on_device, {"lower": lowered}), c.device)
    return engine.run(Stage("build", {"target": target}, parents))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what fits a column of a table."""
    return {key: value for key, value in values.items() if not isinstance(value, (list, dict))}
