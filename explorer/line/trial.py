"""THE LINE: configuration → data → train → compress → lower → tune → build → evaluate → measure → Record.

Between compress and lower, int8 quantizes the network, and an algorithm that selects among others plans and selects.
Latency first, compress to measure come once more before, without fine-tuning, and what that gives is the latency.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from explorer.core import configuration, plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.errors import DOMINATED, Failure, StageFailed
from explorer.core.quantities import ACCURACY, LATENCY, PER_DEVICE, SIZE, Quantity, on_device
from explorer.core.settings import CompressSettings, Settings
from explorer.core.statistics import Interval
from explorer.line.stage import Stage
from explorer.workspace.records import Record


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
        """Return for each stage its parents that no stage makes; see `explorer.inputs.external`."""

    def lanes(self, device: str) -> int:
        """Return how many float32 a vector register of `device` holds."""

    def target(self, device: str) -> Mapping[str, Any]:
        """Return the TVM target that `device` compiles for."""

    @property
    def host(self) -> Mapping[str, Any]:
        """The TVM target of the machine that stages run on."""


class Screen(Protocol):
    """Who says which stacks need not be trained for what is removed from them."""

    def why_not(self, configuration: Configuration, known: Mapping[str, Any]) -> str | None:
        """Return why not, in one sentence, by what is `known` besides its accuracies; None if it has to be."""


def run(c: Configuration, settings: Settings, engine: Engine, screen: Screen | None = None) -> Record | Failure:
    """Take one configuration down the stack; whatever of it is in the store already is not computed again.

    Parameters
    ----------
    screen
        If given, a stack whose latency does not depend on its fine-tuning is measured before, and fine-tuned unless the
        screen says why not.
    """
    try:
        measured = _before_fine_tuning(c, settings, engine, screen) if screen else {}
        records = {}
        for device in configuration.parts(c.device):
            with _naming(device, c):
                records[device] = _line(replace(c, device=device), settings, engine, measured.get(device))
        return _together(records) if len(records) > 1 else records[c.device]
    except StageFailed as failed:
        return failed.failure


@contextlib.contextmanager
def _naming(device: str, c: Configuration) -> Iterator[None]:
    """Have a failure of a stack that is judged on several devices name this one."""
    try:
        yield
    except StageFailed as failed:
        if device == c.device:
            raise
        message = f"on {device}: {failed.failure.message}"
        raise StageFailed(replace(failed.failure, message=message)) from failed


def _before_fine_tuning(c: Configuration, settings: Settings, engine: Engine, screen: Screen) -> dict[str, _Latency]:
    """Return the latency on every device of a stack that takes as long without its fine-tuning; of another one nothing.

    Raises
    ------
    StageFailed
        If the screen says why it need not be fine-tuned.
    """
    if (shapes := _shapes(c, settings)) is None:
        return {}
    fine_tuning = settings.compress.model_copy(update={"epochs": 0})
    latencies, known = {}, {}
    for device in configuration.parts(c.device):
        own = replace(c, device=device)
        with _naming(device, c):
            trained = _trained(own, settings, engine)
            made = _compiled(own, shapes, fine_tuning, trained.above, settings, engine)
            latencies[device] = _measured(own, made, settings, engine)
        known[device] = Record({**trained.accuracy, **_known(made), **latencies[device].values})
    if why := screen.why_not(c, (_together(known) if len(known) > 1 else known[c.device]).values):
        raise StageFailed(Failure("compress", DOMINATED, f"not trained, since {why}"))
    return latencies


def _together(records: Mapping[str, Record]) -> Record:
    """Return what a stack reaches on the device that is worst in each quantity, and beside it what on every device.

    Of quantities that are not measured, and of the artifacts, the slowest device's are on record. Before a network is
    trained, nothing is known of its accuracy.
    """

    def worst(quantity: Quantity, choose: Callable[..., Record]) -> dict[str, Any]:
        chosen = choose(records.values(), key=lambda record: record.values[str(quantity)])
        return {column: chosen.values[column] for column in quantity.columns}

    slowest = max(records.values(), key=lambda record: record.values[str(LATENCY)])
    measured = [column for name in PER_DEVICE for column in Quantity(name).columns]
    each = {
        on_device(column, device): record.values[column]
        for device, record in records.items()
        for column in (*measured, "build_key", "measure_key")
        if column in record.values
    }
    accuracy = worst(ACCURACY, min) if str(ACCURACY) in slowest.values else {}
    return Record({**slowest.values, **accuracy, **worst(SIZE, max), **each})


@dataclass(frozen=True)
class _Trained:
    """A trained network, its accuracy on record, and the parents of what compresses it."""

    data: Artifact
    network: Artifact
    accuracy: Mapping[str, float]
    above: Mapping[str, Artifact]


def _trained(c: Configuration, settings: Settings, engine: Engine) -> _Trained:
    """Return the configuration's network before anything is removed from it."""
    outside = engine.outside(c)
    data = engine.run(Stage("data", {"dataset": c.dataset, **settings.data.model_dump()}, outside["data"]))
    root = str(outside["data"]["source"].path)
    data = replace(data, values={**data.values, "root": root})  # where the images lie now, not in any key
    training = {"model": c.model, "width": c.width, **settings.train.model_dump()}
    network = engine.run(Stage("train", training, {"data": data, **outside["train"]}))
    accuracy = {"trained_accuracy": network.values["validation_accuracy"]}
    return _Trained(data, network, accuracy, {"data": data, "train": network, **outside["compress"]})


def _line(c: Configuration, settings: Settings, engine: Engine, latency: _Latency | None) -> Record:
    """Take a stack on one device down the line; `latency` is what it takes, if that was measured before."""
    dtype = configuration.dtype(c.compression)
    target, here = dict(engine.target(c.device)), dict(engine.host)
    tolerance = {"tolerance": settings.measure.allowed(dtype)}
    trained = _trained(c, settings, engine)
    # What only stores in fewer bits leaves the float32 network as it is: one is compressed for all such dtypes.
    changes = configuration.in_float32(c.compression)
    made = _compiled(c, changes, settings.compress, trained.above, settings, engine)

    # The accuracy on record is that of a compiled network, taken on this machine's cores, once for all networks that
    # compute the same up to rounding. For another target the network is compiled for this machine, too, and not tuned.
    evaluable = made.lowered if target == here else _lower(c, here, made.above, engine)
    evaluation = {"numerics": evaluable.values["numerics"], **tolerance, **settings.evaluate.model_dump()}
    evaluated = engine.run(
        Stage("evaluate", evaluation, {"data": trained.data, "compress": made.compressed, "network": made.network}),
        lambda: {
            "lower": evaluable,
            "build": made.built if target == here else _build(c, here, evaluable, engine, tuned=False),
        },
    )
    latency = latency or _measured(c, made, settings, engine)
    return Record(
        {
            **trained.accuracy,
            **_plain(evaluated.values),
            **_known(made),
            **latency.values,
            "dtype": dtype,
            **{
                f"{each.stage}_note": each.values["note"]
                for each in (trained.data, trained.network)
                if "note" in each.values
            },
            "train_key": trained.network.key,
            "compress_key": made.compressed.key,
            "lower_key": made.lowered.key,
            "build_key": made.built.key,
            "evaluate_key": evaluated.key,
            "measure_key": latency.key,
        }
    )


@dataclass(frozen=True)
class _Compiled:
    """A compressed network and its library for the device; `above` are the parents of what lowers it."""

    compressed: Artifact
    network: Artifact
    above: Mapping[str, Artifact]
    lowered: Artifact
    built: Artifact


@dataclass(frozen=True)
class _Latency:
    """A latency on record, and the key that it is recorded under."""

    key: str
    values: Mapping[str, float]


def _shapes(c: Configuration, settings: Settings) -> str | None:
    """Return the parts of the compression that decide the latency, if others or fine-tuning are left out for it."""
    if c.format != "dense" or configuration.in_float32(c.compression) == "none" or not settings.compress.epochs:
        return None
    return configuration.in_shapes(c.compression)


def _compiled(
    c: Configuration,
    changes: str,
    fine_tuning: CompressSettings,
    above: Mapping[str, Artifact],
    settings: Settings,
    engine: Engine,
) -> _Compiled:
    """Return the library of the trained network with only `changes` of the configuration's compression."""
    compression: dict[str, Any] = {"compression": changes, "ratio": None, "channel_multiple": None}
    if configuration.takes_ratio(changes):
        compression["ratio"] = c.ratio
    if configuration.takes_channel_multiple(changes):
        # As a number, so that devices with vectors of one width share the network.
        multiple = engine.lanes(c.device) if c.channel_multiple == configuration.VECTOR else c.channel_multiple
        compression["channel_multiple"] = multiple
    compression |= {"model": c.model, "width": c.width, **(fine_tuning.model_dump() if changes != "none" else {})}
    compressed = engine.run(Stage("compress", compression, above))
    network = compressed
    if configuration.dtype(c.compression) == "int8":
        parents = {"data": above["data"], "compress": compressed}
        network = engine.run(Stage("quantize", settings.quantize.model_dump(), parents))
    selected = {"network": network, **_selected(c, network, engine)}
    target = dict(engine.target(c.device))
    lowered = _lower(c, target, selected, engine)
    built = _build(c, target, lowered, engine, configuration.is_tuned(c.tuning_trials, c.tuning_seconds))
    return _Compiled(compressed, network, selected, lowered, built)


def _measured(c: Configuration, made: _Compiled, settings: Settings, engine: Engine) -> _Latency:
    """Return the latency of a library on the configuration's device."""
    tolerance = {"tolerance": settings.measure.allowed(configuration.dtype(c.compression))}
    protocol = {"threads": c.threads, **settings.measure.protocol(), **tolerance}
    stage = Stage("measure", protocol, {"network": made.network, "lower": made.lowered, "build": made.built})
    found = engine.measure(stage, c.device)
    return _Latency(stage.key, LATENCY.as_columns(found))


def _known(made: _Compiled) -> dict[str, Any]:
    """Return what is on record of a library before it has run."""
    size = {"size_bytes": made.built.values["size_bytes"]}
    return {**_plain(made.compressed.values), **size, **_plain(made.lowered.values)}


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
