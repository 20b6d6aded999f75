"""Configuration, settings and engine → each stage of the line, asked of the engine; and the record in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration, takes_channel_multiple, takes_ratio
from explorer.core.errors import Failure, StageFailed
from explorer.core.settings import CompressSettings, LossSettings, Settings
from explorer.line import contracts
from explorer.line.contracts.compress import Network
from explorer.line.stage import Target
from explorer.line.trials.engine import Engine

# The artifact of each stage.
Data = Artifact[contracts.data.Values]
Trained = Artifact[contracts.train.Values]
Compressed = Artifact[contracts.compress.Values]
Planned = Artifact[contracts.plan.Values]
Selected = Artifact[contracts.select.Values]
Lowered = Artifact[contracts.lower.Values]
Tuned = Artifact[contracts.tune.Values]
Built = Artifact[contracts.build.Values]
Confirmed = Artifact[contracts.confirm.Values]
Evaluated = Artifact[contracts.evaluate.Values]
Scored = Artifact[contracts.score.Values]
Profile = Artifact[contracts.profile.Values]
Ranked = Artifact[contracts.rank.Values]


@dataclass(frozen=True)
class Latency:
    """A latency on record, and the key that it is recorded under."""

    key: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Steps:
    """The stages of a configuration on one device, a method each; all of them raise StageFailed."""

    c: Configuration
    settings: Settings
    engine: Engine

    def data(self) -> Data:
        """Load the data set."""
        parents = contracts.data.Parents.of(self.engine.outside(self.c)["data"])
        made = self.engine.run(
            contracts.data.Stage(contracts.data.Parameters(self.c.dataset, self.settings.data), parents)
        )
        kind = made.values.get("task")
        if kind and not self.settings.evaluate.metric:
            message = (
                f"the targets of data set {self.c.dataset} are {kind}, which have no accuracy: name a function "
                'that judges predictions, [evaluate] metric = "module:function"'
            )
            raise StageFailed(Failure("data", "unusable", message))
        # The folder that the images lie in now is in no key, and may be another one than when they were split.
        return replace(made, values={**made.values, "root": str(parents.source.path)})

    def train(self, data: Data) -> Trained:
        """Train the model, or take the network of an ONNX file as it is."""
        named = {"data": data, **self.engine.outside(self.c)["train"]}
        if plugins.is_onnx(self.c.model):
            return self.engine.run(contracts.adopt.Stage(self._adopted, contracts.adopt.Parents.of(named)))
        parents, settings = contracts.train.Parents.of(named), self.settings
        version = plugins.literal("model", self.c.model, "VERSION")
        parameters = contracts.train.Parameters(
            self.c.model, self.c.width, settings.train, settings.answered, version, settings.evaluate.metric
        )
        return self.engine.run(contracts.train.Stage(parameters, parents))

    def compress(
        self,
        data: Data,
        trained: Trained,
        compression: str,
        fine_tuning: CompressSettings,
    ) -> Compressed:
        """Compress the trained model by `compression`, which may be a part of the configuration's."""
        if plugins.is_onnx(self.c.model):
            return self._pruned(data, trained, compression, fine_tuning)
        parameters = contracts.compress.Parameters(
            compression,
            self.c.ratio if takes_ratio(compression) else None,
            self._channel_multiple if takes_channel_multiple(compression) else None,
            self.c.model,
            self.c.width,
            fine_tuning if compression != "none" else None,
            self.settings.answered,
            is_trained=self.settings.train.epochs > 0,
            loss=LossSettings(loss=self.settings.train.loss) if self.settings.train.loss else None,
        )
        named = {"data": data, "train": trained, **self.engine.outside(self.c)["compress"]}
        return self.engine.run(contracts.compress.Stage(parameters, contracts.compress.Parents.of(named)))

    def quantize(self, data: Data, compressed: Compressed) -> Network:
        """Quantize the network if it ends in int8; return it as it is otherwise."""
        if self.c.dtype != "int8":
            return compressed
        parents = contracts.quantize.Parents(data, compressed)
        return self.engine.run(contracts.quantize.Stage(contracts.quantize.Parameters(self.settings.quantize), parents))

    def plan(self, network: Network) -> Planned | None:
        """Plan what to measure for an algorithm that selects; return None for any other."""
        if not self.c.selects:
            return None
        parameters = contracts.plan.Parameters(self.c.format, self.c.dtype, self._target, self.c.batch)
        return self.engine.run(contracts.plan.Stage(parameters, contracts.plan.Parents(network)))

    def select(self, planned: Planned | None) -> Selected | None:
        """Select an algorithm for every layer, if that is planned."""
        if planned is None:
            return None
        c = self.c
        parameters = contracts.select.Parameters(
            c.algorithm, c.format, c.dtype, self._target, c.threads, c.device, identity=self._identity
        )
        return self.engine.select(contracts.select.Stage(parameters, contracts.select.Parents(planned)), c.device)

    def lower(self, network: Network, selected: Selected | None) -> Lowered:
        """Lower the network for the device with the algorithm, or with those that were selected."""
        return self._lowered(network, selected, self._target)

    def tune(self, lowered: Lowered) -> Tuned | None:
        """Tune the network's layers if a tuner has a budget; return None otherwise."""
        c = self.c
        if not c.is_tuned:
            return None
        assert c.tuner is not None, "a configuration with a budget has a tuner"
        parameters = contracts.tune.Parameters(
            c.tuner, c.tuning_trials, c.tuning_seconds, self._target, c.threads, c.device, identity=self._identity
        )
        return self.engine.tune(contracts.tune.Stage(parameters, contracts.tune.Parents(lowered)), c.device)

    def build(self, lowered: Lowered) -> Built:
        """Compile the network for the device as the rules schedule it."""
        return self._built(lowered, None, self._target)

    def rebuild(self, lowered: Lowered, tuned: Tuned | None) -> Built | None:
        """Compile the network as it is tuned; return None where no layer became faster than by the rules."""
        if tuned is None or not tuned.values["layers_faster"]:
            return None
        return self._built(lowered, tuned, self._target)

    def confirm(self, network: Network, lowered: Lowered, untuned: Built, tuned: Built | None) -> Confirmed | None:
        """Compare the tuned library with the rules' on the device, if there is one."""
        if tuned is None:
            return None
        c, protocol = self.c, self.settings.measure
        parameters = contracts.confirm.Parameters(
            c.threads, protocol.samples, protocol.sample_ms, protocol.warmup_ms, c.device, identity=self._identity
        )
        stage = contracts.confirm.Stage(parameters, contracts.confirm.Parents(network, lowered, untuned, tuned))
        return self.engine.confirm(stage, c.device)

    def evaluate(
        self,
        data: Data,
        compressed: Compressed,
        network: Network,
        selected: Selected | None,
        lowered: Lowered,
        built: Built,
    ) -> Evaluated:
        """Take the accuracy of a compiled network on this machine's cores.

        It is taken once for all networks that compute the same up to rounding. For another target than this machine's
        the network is compiled for this machine, too, and not tuned.
        """
        here = self._host == self._target
        evaluable = lowered if here else self._lowered(network, selected, self._host)
        parameters = contracts.evaluate.Parameters(
            evaluable.values["numerics"], self._tolerance, self.settings.evaluate
        )
        parents = contracts.evaluate.Parents(data, compressed, network)

        def with_library() -> contracts.evaluate.Parents:
            library = built if here else self._built(evaluable, None, self._host)
            return replace(parents, lower=evaluable, build=library)

        return self.engine.run(contracts.evaluate.Stage(parameters, parents), with_library)

    def score(self, data: Data, evaluated: Evaluated) -> Scored | None:
        """Judge what was predicted by the metric of the user's own, if there is one."""
        metric = self.settings.evaluate.metric
        if not metric:
            return None
        parents = {"data": data, "evaluate": evaluated, **self.engine.outside(self.c)["score"]}
        stage = contracts.score.Stage(contracts.score.Parameters(metric), contracts.score.Parents.of(parents))
        return self.engine.run(stage)

    def measure(self, network: Network, lowered: Lowered, built: Built) -> Latency:
        """Measure the library on the device."""
        protocol = self.settings.measure
        sampling = self.c.threads, protocol.samples, protocol.sample_ms, protocol.warmup_ms
        parameters = contracts.measure.Parameters(*sampling, self._tolerance, identity=self._identity)
        stage = contracts.measure.Stage(parameters, contracts.measure.Parents(network, lowered, built))
        found = self.engine.measure(stage, self.c.device)
        return Latency(stage.key, found.as_columns(self.c.batch))

    def profile(
        self, network: Network, lowered: Lowered, built: Built, schedules: Tuned | None, sessions: int
    ) -> Profile:
        """Time each program of the library on the device, in so many quiet sessions."""
        c, protocol = self.c, self.settings.measure
        parents = contracts.instrument.Parents(network, lowered, schedules)
        ticking = self.engine.run(contracts.instrument.Stage(contracts.instrument.Parameters(self._target), parents))
        sampling = c.threads, protocol.samples, protocol.sample_ms, protocol.warmup_ms
        parameters = contracts.profile.Parameters(*sampling, sessions, c.device, identity=self._identity)
        stage = contracts.profile.Stage(parameters, contracts.profile.Parents(network, lowered, built, ticking))
        return self.engine.profile(stage, c.device)

    def timed(self, network: Network) -> Profile:
        """Time each program of the network on the device, untuned, in one session."""
        lowered = self.lower(network, self.select(self.plan(network)))
        return self.profile(network, lowered, self.build(lowered), None, sessions=1)

    @property
    def _channel_multiple(self) -> int | None:
        """As a number, so that devices with vectors of one width share the network."""
        multiple = self.c.channel_multiple
        return self.engine.lanes(self.c.device) if isinstance(multiple, str) else multiple

    @property
    def _adopted(self) -> contracts.adopt.Parameters:
        return contracts.adopt.Parameters(
            self.c.model, self.settings.measure.tolerance, self.settings.evaluate.answered
        )

    def _pruned(
        self, data: Data, adopted: Trained, compression: str, fine_tuning: CompressSettings
    ) -> Artifact[contracts.compress.Values]:
        """Zero weights of an ONNX network, or none."""
        removes = compression != "none"
        parameters = contracts.prune.Parameters(
            self.c.ratio if removes else None,
            fine_tuning.scores if removes else None,
            self.settings.measure.tolerance,
            self.settings.evaluate.answered,
        )
        return self.engine.run(contracts.prune.Stage(parameters, contracts.prune.Parents(data, adopted)))

    @property
    def _target(self) -> Target:
        return dict(self.engine.target(self.c.device))

    @property
    def _identity(self) -> str | None:
        return self.engine.identity(self.c.device)

    @property
    def _host(self) -> Target:
        return dict(self.engine.host)

    @property
    def _tolerance(self) -> float:
        return self.settings.measure.allowed(self.c.dtype)

    def _lowered(self, network: Network, selected: Selected | None, target: Target) -> Lowered:
        c = self.c
        parameters = contracts.lower.Parameters(c.algorithm, c.format, c.dtype, target, c.batch)
        return self.engine.run(contracts.lower.Stage(parameters, contracts.lower.Parents(network, selected)))

    def _built(self, lowered: Lowered, tuned: Tuned | None, target: Target) -> Built:
        return self.engine.run(
            contracts.build.Stage(contracts.build.Parameters(target), contracts.build.Parents(lowered, tuned))
        )


def faster(untuned: Built, tuned: Built | None, confirmed: Confirmed | None) -> Built:
    """Return the tuned library if it is confirmed to be faster, else the very one that the untuned stack has."""
    return tuned if tuned and confirmed and confirmed.values["faster"] else untuned
