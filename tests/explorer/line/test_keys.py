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
            "data": ["1b0a513ae51a91a0"],
            "train": ["27aa6aba57bdf6d4"],
            "compress": ["ed1bd9a34a01d038"],
            "lower": ["8cd813a22c150a40", "844268cb4b460a59"],
            "build": ["655ef1c225e55a4b", "b05502be4c89b708"],
            "evaluate": ["fef50f84d155d3c4"],
            "measure": ["1ba77b4479b21972"],
        },
    ),
    (
        WHOLE,
        {
            "data": ["1b0a513ae51a91a0"],
            "train": ["90fb1ca544f3f8a4"],
            "compress": ["68a1a2df68f13fba"],
            "quantize": ["2d8cd4e13260eaac"],
            "plan": ["9e56b02d04fb8b7c"],
            "select": ["0a4616f126a0d13f"],
            "lower": ["18f1415634300955", "b93fe69a357ef49a"],
            "tune": ["f1be809c5257bdc6"],
            "build": ["1b89e1e5f39e2bb3", "d922f9199e70b31b", "8dca0bfba7fe7d5a"],
            "confirm": ["9cbca3fc59018cfa"],
            "evaluate": ["5e2911280af75a63"],
            "measure": ["6b3aa1a17db668df"],
        },
    ),
    (
        TOGETHER,
        {
            "data": ["1b0a513ae51a91a0"],
            "train": ["66851a7a5b64e039"],
            "compress": ["6fdfc17b3120a9f7"],
            "lower": ["d64d7f5f76e69cee", "8bb8c4e7eb67e04c"],
            "tune": ["c68df873a5b5e1f3", "b4bdea12cbada5c3"],
            "build": ["7aea5f2c065bcac5", "332cfc79867d110f", "be1b514b57d90fc7", "4fda5bd5fec34960"],
            "confirm": ["8ff4f6e1345d134a", "a288ef8048345472"],
            "evaluate": ["b51c4dfb089ab2cf"],
            "measure": ["92ec0afe6eeadf90", "dd6d05d6b9723411"],
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
    assert latency == "4f72b0f97e3f02c7e14f3ad6d8bfe3f9af0d1993e36357ce82a67939da8c70f3"
    database = contracts.tune.database_key(target, threads=2, device="local")
    assert database == "a1271e9f089afdedfe4ba3af7e33fc783a5844727a856c3eb2e8ac1010ba5ef2"
    built = contracts.candidates.Stage(
        contracts.candidates.Parameters([{"a": 1}], target), contracts.candidates.Parents()
    )
    assert built.key == "d7643d16c2990cca8884a4a437dc173d2ab94eae0b0f6094bb718d5841b9ab9f"
