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
            "data": ["18628b6245501aaa"],
            "train": ["1311ab26d4ec8ccf"],
            "compress": ["3720eae5ce62d89c"],
            "lower": ["e127865bd54d154d", "7b4d6816d47f014e"],
            "build": ["889bf3fea368a1e3", "c81041d5139abc09"],
            "evaluate": ["5b9baeb158bf8f41"],
            "measure": ["8ef82304a7a936e0"],
        },
    ),
    (
        WHOLE,
        {
            "data": ["18628b6245501aaa"],
            "train": ["661fe9dca71f15bb"],
            "compress": ["fdd8fc900c59f6fc"],
            "quantize": ["d829d586c51a4c00"],
            "plan": ["37071500e7a068c6"],
            "select": ["5473fac0b01ce09e"],
            "lower": ["0ddce9dc7fe5704c", "94b57fa301538858"],
            "tune": ["e7e17444131e0852"],
            "build": ["b036a6f233261f11", "822b30ff735f3d46"],
            "evaluate": ["35f58f92bdd49c95"],
            "measure": ["a793a07cfa91cd5c"],
        },
    ),
    (
        TOGETHER,
        {
            "data": ["18628b6245501aaa"],
            "train": ["1107fc30afa67472"],
            "compress": ["8862b85cbbd9108b"],
            "lower": ["c92ab4d0c1439d9f", "05c9bb34581fabf6"],
            "tune": ["0f7b699cfa6cabb9", "0bf258a5d1c5f23c"],
            "build": ["70285591313ab80a", "cabebef3ad981b0e", "17672f5199cab739"],
            "evaluate": ["83a2c0af1760fe8e"],
            "measure": ["fb4655505b0c36ed", "fd415a4b5adfec5a"],
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
