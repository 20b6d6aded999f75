"""The keys that stages have had since workspaces exist: one that changes makes every artifact in a store useless."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.measurement.sessions import Estimate
from explorer.core.measurement.statistics import Interval
from explorer.core.settings import Settings
from explorer.line import contracts, stage
from explorer.line.stage import A, P, Stage, Target
from explorer.line.trials import trial
from explorer.workspace.database.records import Record

VERSIONS = {"torch": "torch 2.0", "tvm": "apache-tvm 0.20"}
VALUES: Mapping[str, Mapping[str, object]] = {
    "train": {"validation_accuracy": 0.5},
    "build": {"size_bytes": 7, "memory_bytes": 9, "thread_bytes": 1},
    "tune": {"layers_faster": 1},
    "confirm": {"faster": True, "ratio": 0.9, "ratio_low": 0.8, "ratio_high": 1.0},
    "lower": {"numerics": {"dtype": "float32", "layers": {}}},
}
CODE = {"code of nets:build": Artifact("code", "c", Path("c"))}
OUTSIDE = {
    "data": {"source": Artifact("source", "f" * 8, Path("d"))},
    "train": {"weights": Artifact("weights", "w", Path("w")), **CODE},
    "compress": CODE,
}


class Asked:
    """An engine that notes the first characters of every key that it is asked for."""

    def __init__(self) -> None:
        self.keys: dict[str, list[str]] = defaultdict(list)

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        if equivalent:
            equivalent()
        key = self._noted(stage)
        return Artifact(stage.name, key, Path("x"), cast(V, VALUES.get(stage.name, {})))

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        self._noted(stage)
        return Estimate(Interval(1.0, 1.0, 1.0), 1)

    def select(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.select.Values]:
        return self.run(stage)

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        return self.run(stage)

    def confirm(self, stage: contracts.confirm.Stage, device: str) -> Artifact[contracts.confirm.Values]:
        return self.run(stage)

    def profile(self, stage: contracts.profile.Stage, device: str) -> Artifact[contracts.profile.Values]:
        return self.run(stage)

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        return OUTSIDE

    def lanes(self, device: str) -> int:
        return 16

    def target(self, device: str) -> Target:
        return {"kind": "llvm", "mcpu": "cortex-a72"}

    def identity(self, device: str) -> str | None:
        return f"what {device} says that it is"

    @property
    def host(self) -> Target:
        return {"kind": "llvm", "mcpu": "native"}

    def _noted(self, stage: Stage) -> str:
        key = stage.key
        if key[:16] not in self.keys[stage.name]:
            self.keys[stage.name].append(key[:16])
        return key


@pytest.fixture(autouse=True)
def _versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the versions of the libraries; where a stage's ``VERSION`` is raised on purpose, its keys here change."""
    monkeypatch.setattr(stage, "library_version", VERSIONS.__getitem__)


PLAIN = Configuration("digits", "resnet18", 0.25)
WHOLE = Configuration(  # a width that is an integer keeps a key of its own
    "digits",
    "nets:build",
    1,
    "channel_pruning+int8",
    0.5,
    "vector",
    None,
    "auto",
    "dense",
    4,
    20,
    0,
    "template",
    2,
    "rpi4",
)
TOGETHER = Configuration(
    "digits",
    "resnet18",
    1.0,
    "weight_pruning",
    0.5,
    None,
    None,
    "gemm",
    "csr",
    1,
    0,
    60,
    "evolutionary",
    1,
    "rpi4+local",
)
KEYS: list[tuple[Configuration, dict[str, list[str]]]] = [
    (
        PLAIN,
        {
            "data": ["3a548602cf2704ec"],
            "train": ["02d3c2336925568e"],
            "compress": ["6dbad7db94237663"],
            "lower": ["26a5710f00dfbf07", "e8069ab9f6d66fea"],
            "build": ["6892222f8fe8df67", "cc3e7fc8122fb007"],
            "evaluate": ["6de8494e24c4490b"],
            "measure": ["5856a06d8556f91c"],
        },
    ),
    (
        WHOLE,
        {
            "data": ["3a548602cf2704ec"],
            "train": ["e7e1c6082178eb67"],
            "compress": ["5171c03f87db9ae2"],
            "quantize": ["98a520f91d651d29"],
            "plan": ["bbb8a703813b5dc3"],
            "select": ["1a120fe0b61f27b4"],
            "lower": ["b6db6b1f2926b3c5", "389bd409e6a85ab2"],
            "tune": ["1385ed497a387914"],
            "build": ["d569913c054a0d87", "8af3052af8929034", "bbbd06a40b15c85d"],
            "confirm": ["a0214ef592da44ca"],
            "evaluate": ["5221ac6d5044dcfb"],
            "measure": ["800a7db6d0234259"],
        },
    ),
    (
        TOGETHER,
        {
            "data": ["3a548602cf2704ec"],
            "train": ["2ae027101eea3990"],
            "compress": ["12a3d43801673b0d"],
            "lower": ["5828d6d2ef61056f", "3a05700b8b8ad4b7"],
            "tune": ["e3112af9fe402795", "0a0dcb35ece24581"],
            "build": ["a71768f4f531a5b3", "f8383e54b42a268a", "a0b7a58928a6fa8e", "e1918228e474b940"],
            "confirm": ["a4f65b1819c272cf", "bd08d7faab0ebb3d"],
            "evaluate": ["dd70f8b141bd2125"],
            "measure": ["d7cbf2fa18e92167", "f581231250d6b35d"],
        },
    ),
]


@pytest.mark.parametrize(("c", "keys"), KEYS, ids=["plain", "whole", "together"])
def test_keys_are_those_of_existing_stores(c: Configuration, keys: dict[str, list[str]]) -> None:
    engine = Asked()
    assert isinstance(trial.run(c, Settings(), engine), Record)
    assert engine.keys == keys


def test_images_that_are_evaluated_are_in_the_keys_of_networks_where_nothing_is_trained() -> None:
    """There torch answers these images alone."""

    def keys(**tables: Mapping[str, object]) -> dict[str, list[str]]:
        engine = Asked()
        trial.run(PLAIN, Settings.model_validate(tables), engine)
        return engine.keys

    untrained, some = {"epochs": 0, "weights": "file"}, {"images": 500}
    for stage_name in ("train", "compress"):
        assert keys()[stage_name] == keys(evaluate=some)[stage_name]
        assert keys(train=untrained)[stage_name] != keys(train=untrained, evaluate=some)[stage_name]
    assert keys(train=untrained)["data"] == keys(train=untrained, evaluate=some)["data"]


def test_keys_of_records_are_those_of_existing_databases() -> None:
    target: Target = {"kind": "llvm"}
    latency = contracts.candidates.latency_key({"a": 1}, "direct", target, threads=2, evicted_bytes=5)
    assert latency == "0997f66da170cf1918c4fff3f64ef382c2783aa418272a9e5006a28541d964de"
    database = contracts.tune.database_key(target, threads=2, device="local")
    assert database == "6557b8a8663a11c873f72634a4dce37b5b19dae7a6958351bc7b74824955a094"
    built = contracts.candidates.Stage(
        contracts.candidates.Parameters([{"a": 1}], target), contracts.candidates.Parents()
    )
    assert built.key == "babc18bca8aa1843ab822821b61625e916ff4b29ae67dd5117b17fc70db7b945"
