"""The keys that stages have had since workspaces exist: one that changes makes every artifact in a store useless."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.sessions import Estimate
from explorer.core.settings import Settings
from explorer.core.statistics import Interval
from explorer.line import contracts, stage, trial
from explorer.line.stage import A, P, Stage, Target
from explorer.workspace.records import Record

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

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        return OUTSIDE

    def lanes(self, device: str) -> int:
        return 16

    def target(self, device: str) -> Target:
        return {"kind": "llvm", "mcpu": "cortex-a72"}

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
    "digits", "nets:build", 1, "channel_pruning+int8", 0.5, "vector", "auto", "dense", 4, 20, 0, "template", 2, "rpi4"
)
TOGETHER = Configuration(
    "digits", "resnet18", 1.0, "weight_pruning", 0.5, None, "gemm", "csr", 1, 0, 60, "evolutionary", 1, "rpi4+local"
)
KEYS: list[tuple[Configuration, dict[str, list[str]]]] = [
    (
        PLAIN,
        {
            "data": ["a65d576dab81e410"],
            "train": ["2a88802003bc29f0"],
            "compress": ["62dd2c1125beb49d"],
            "lower": ["f5605c7958f1336c", "5ae432d53f4dd621"],
            "build": ["cd303089ab911355", "ab16d7f3add8e9c6"],
            "evaluate": ["62d479972c67f05f"],
            "measure": ["d75d62069275c7f6"],
        },
    ),
    (
        WHOLE,
        {
            "data": ["a65d576dab81e410"],
            "train": ["d53bd0ceae72505f"],
            "compress": ["36d12be87d1a3c06"],
            "quantize": ["b37e9c54bd43d929"],
            "plan": ["3ec0c4b335990247"],
            "select": ["acee9e44630e5485"],
            "lower": ["6f0024f0442d707f", "e00133316260a397"],
            "tune": ["5c01b0ba61ada1cf"],
            "build": ["b3ef463e4090df4c", "442c696aff737568", "5d84db5d7bb1fb8b"],
            "confirm": ["36cd32b84e2b6d8e"],
            "evaluate": ["f0d74e3082445f89"],
            "measure": ["9b9c98537ac71f25"],
        },
    ),
    (
        TOGETHER,
        {
            "data": ["a65d576dab81e410"],
            "train": ["657a3fc65f599c35"],
            "compress": ["a5096d6fcb8ec110"],
            "lower": ["a7a167bf1b312086", "fe43109ed6ccba71"],
            "tune": ["892a307b8785ded2", "bca0362afe1a9428"],
            "build": ["d0cc1307488364de", "9bd60da797de23d0", "28444bfe74f4cb63", "2d498529dc916452"],
            "confirm": ["3871a2589c74e7fd", "34cb5489f3e7680a"],
            "evaluate": ["e58f439ac222f498"],
            "measure": ["708db68017c2bbaf", "6a1c3263547fb0aa"],
        },
    ),
]


@pytest.mark.parametrize(("c", "keys"), KEYS, ids=["plain", "whole", "together"])
def test_keys_are_those_of_existing_stores(c: Configuration, keys: dict[str, list[str]]) -> None:
    engine = Asked()
    assert isinstance(trial.run(c, Settings(), engine), Record)
    assert engine.keys == keys


def test_keys_of_records_are_those_of_existing_databases() -> None:
    target: Target = {"kind": "llvm"}
    latency = contracts.candidates.latency_key({"a": 1}, "direct", target, threads=2, evicted_bytes=5)
    assert latency == "4f72b0f97e3f02c7e14f3ad6d8bfe3f9af0d1993e36357ce82a67939da8c70f3"
    database = contracts.tune.database_key(target, threads=2, device="local")
    assert database == "a1271e9f089afdedfe4ba3af7e33fc783a5844727a856c3eb2e8ac1010ba5ef2"
    built = contracts.candidates.Stage(
        contracts.candidates.Parameters([{"a": 1}], target), contracts.candidates.Parents()
    )
    assert built.key == "d7643d16c2990cca8884a4a437dc173d2ab94eae0b0f6094bb718d5841b9ab9f"
