"""A stack that mixes dtypes has as many layers quantized as its accuracy allows, and shares what it tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.core.settings import EvaluateSettings, Settings
from explorer.line import contracts
from explorer.line.stage import Stage
from explorer.line.trials import trial
from explorer.workspace.database.records import Record
from tests.explorer.noting import NotingEngine

MIXED = Configuration("digits", "resnet18", compression="int8_mixed", max_drop=0.01)
BASE = 0.9


class Losing(NotingEngine):
    """Answers that a network with n of `layers` layers quantized loses n times `loss`, and a metric likewise."""

    def __init__(self, layers: int, loss: float, slower: int = 0, sign: int = 1) -> None:
        super().__init__()
        self.order = [f"layer{9 * index % 10}{index}" for index in range(layers)]  # not sorted by name
        self.loss, self.slower, self.sign = loss, slower, sign

    def _values(self, stage: Stage) -> Mapping[str, object]:
        if isinstance(stage, contracts.rank.Stage):
            return {"order": self.order, "slower": self.slower}
        if isinstance(stage, contracts.mix.Stage):
            return {"quantized_layers": len(stage.parameters.layers)}
        if isinstance(stage, contracts.evaluate.Stage):
            network = stage.parents.network
            count = {"compress": 0, "quantize": len(self.order)}.get(network.stage)
            count = network.values["quantized_layers"] if count is None else count  # type: ignore[assignment]
            assert isinstance(count, int)
            return {"accuracy": BASE - self.sign * self.loss * count, "accuracy_low": 0.0, "accuracy_high": 1.0}
        return super()._values(stage)

    @property
    def mixes(self) -> list[list[str]]:
        """The layers of each network that was made, in order."""
        return [list(each.parameters.layers) for each in self.stages if isinstance(each, contracts.mix.Stage)]


@pytest.mark.parametrize(
    ("layers", "loss", "most"),
    [(20, 0.001, 10), (20, 0.0004, 20), (20, 0.002, 5), (1, 0.005, 1), (2, 0.009, 1), (33, 0.0105 / 32, 30)],
)
def test_the_longest_beginning_that_loses_no_more_than_allowed_is_quantized(
    layers: int, loss: float, most: int
) -> None:
    engine = Losing(layers, loss, slower=3)
    record = trial.run(MIXED, Settings(), engine)
    assert isinstance(record, Record)
    assert record.values["accuracy"] == pytest.approx(BASE - most * loss)
    chosen = {each.key: each.parameters.layers for each in engine.stages if isinstance(each, contracts.mix.Stage)}
    assert chosen[record.values["network_key"]] == sorted(engine.order[:most])
    assert len({tuple(each) for each in engine.mixes}) <= 8


def test_a_network_that_loses_nothing_anywhere_is_the_one_of_int8() -> None:
    engine = Losing(12, 0.0)
    record = trial.run(MIXED, Settings(), engine)
    assert isinstance(record, Record)
    assert record.values["network_key"] == engine.stage("quantize").key
    assert not engine.mixes
    whole = trial.run(replace(MIXED, compression="int8", max_drop=None), Settings(), Losing(12, 0.0))
    assert isinstance(whole, Record)
    keys = ("lower_key", "build_key", "evaluate_key", "measure_key")
    assert [record.values[key] for key in keys] == [whole.values[key] for key in keys]


@pytest.mark.parametrize(
    ("engine", "stage", "message"),
    [
        (
            Losing(9, 0.02),
            "mix",
            "max_drop 0.01 allows no layer in 8 bits: with 1 quantized, beginning with layer00, which does least harm "
            "for the time that it saves, the network loses 2.00 points",
        ),
        (
            Losing(0, 0.0, 9),
            "rank",
            "no layer of the network is faster in 8 bits on device local, so none is quantized",
        ),
    ],
)
def test_a_network_without_a_layer_to_quantize_fails_with_the_reason(engine: Losing, stage: str, message: str) -> None:
    assert trial.run(MIXED, Settings(), engine) == Failure(stage, "not_applicable", message)


def test_drops_share_the_ranking_and_devices_the_harms() -> None:
    engine = Losing(20, 0.001, slower=1)
    for c in (MIXED, replace(MIXED, max_drop=0.005), replace(MIXED, max_drop=0.005, device="board")):
        assert isinstance(trial.run(c, Settings(), engine), Record)
    keys = {name: {each.key for each in engine.stages if each.name == name} for name in ("harm", "rank", "profile")}
    assert {name: len(found) for name, found in keys.items()} == {"harm": 1, "rank": 2, "profile": 4}


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_a_metric_of_the_users_own_may_lose_as_much(direction: str, sign: int) -> None:
    settings = Settings(evaluate=EvaluateSettings(metric="nets:error", direction=direction))  # type: ignore[arg-type]
    engine = Losing(20, 0.4, slower=1, sign=sign)
    record = trial.run(replace(MIXED, max_drop=3.0), settings, engine)
    assert isinstance(record, Record)
    assert record.values["error"] == pytest.approx(BASE - sign * 7 * 0.4)


def test_latency_is_not_measured_before_the_layers_are_known() -> None:
    pruned = replace(MIXED, compression="channel_pruning+int8_mixed", ratio=0.5, channel_multiple=8)
    assert pruned.in_shapes is None
    assert replace(pruned, compression="channel_pruning+int8", max_drop=None).in_shapes == "channel_pruning"


@pytest.mark.parametrize("algorithm", ["direct", "auto"])
def test_a_count_has_as_many_networks_as_may_be_tried(algorithm: str) -> None:
    engine = NotingEngine()
    assert isinstance(trial.run(replace(MIXED, algorithm=algorithm), Settings(), engine), Record)
    assert engine.distinct["mix"] == 8
    assert engine.distinct["evaluate"] == 9  # the network in float32, too
    assert {"mix", "evaluate", "lower", "build"} <= engine.at_most
