"""The accuracy of the compiled network: as counted independently, shared by equal numerics, refused if outputs part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlas_ops.targets import native_target
from explorer.errors import StageFailed
from explorer.prepared import Prepared
from explorer.statistics import share_interval
from explorer.store import Artifact
from tests import torch_stages

pytestmark = pytest.mark.slow

AVX512 = {"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return torch_stages.data(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, digits: Artifact) -> Artifact:
    return torch_stages.train(tmp_path_factory.mktemp("trained"), digits, epochs=5)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, digits: Artifact, trained: Artifact) -> Artifact:
    return torch_stages.compress(tmp_path_factory.mktemp("network"), digits, trained)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory, digits: Artifact, trained: Artifact) -> Artifact:
    return torch_stages.compress(
        tmp_path_factory.mktemp("pruned"), digits, trained, "weight_pruning", 0.9, epochs=0, batch_size=64
    )


def lowered(
    folder: Path, network: Artifact, algorithm: str, format: str = "dense", target: Mapping[str, Any] | None = None
) -> Artifact:
    choice = {"algorithm": algorithm, "format": format, "dtype": "float32", "target": target or native_target()}
    return torch_stages.execute("lower", folder / algorithm / format, choice, network=network)


def built(folder: Path, network: Artifact, algorithm: str = "gemm") -> Artifact:
    module = lowered(folder, network, algorithm)
    return torch_stages.execute("build", folder, {"target": native_target()}, lower=module)


def test_the_accuracy_is_that_of_an_independent_runtime(digits: Artifact, network: Artifact, tmp_path: Path) -> None:
    numerics = {"numerics": {"dtype": "float32", "layers": {}}}
    parents = {"data": digits, "compress": network, "build": built(tmp_path, network)}
    evaluated = torch_stages.execute("evaluate", tmp_path, numerics, **parents)

    splits = Prepared.load(digits)
    with np.load(evaluated.path / "answers.npz") as answers:
        for split in ("validation", "test"):
            images = getattr(splits, split)[:]
            expected = torch_stages.onnx_outputs(network.path / "network.onnx", images).argmax(1)
            np.testing.assert_array_equal(answers[split], expected)
        hits = answers["validation"] == splits.validation.labels
        assert evaluated.values["test_accuracy"] == (answers["test"] == splits.test.labels).mean()
    values = evaluated.values
    assert values["accuracy"] == hits.mean() == network.values["torch_accuracy"]
    assert (values["accuracy_low"], values["accuracy_high"]) == share_interval(hits.sum(), 270)
    assert (values["validation_images"], values["test_images"], values["agreement"]) == (270, 450, 1.0)


def test_a_library_that_computes_something_else_is_refused(
    digits: Artifact, network: Artifact, pruned: Artifact, tmp_path: Path
) -> None:
    other = {"data": digits, "compress": network, "build": built(tmp_path, pruned)}
    message = r"puts \d+ of 720 images into another class than torch; allowed: 0.1%"
    with pytest.raises(StageFailed, match=message) as failed:
        torch_stages.execute("evaluate", tmp_path, {"numerics": {"dtype": "float32", "layers": {}}}, **other)
    assert failed.value.failure.kind == "wrong_output"
    # What is not float32 may well answer otherwise; how often it does is on record.
    values = torch_stages.execute("evaluate", tmp_path, {"numerics": {"dtype": "int8", "layers": {}}}, **other).values
    assert values["agreement"] < 0.999


def test_what_only_sums_in_another_order_shares_an_accuracy(pruned: Artifact, tmp_path: Path) -> None:
    choices = [("direct", "dense"), ("gemm", "dense"), ("spatial_pack", "dense"), ("direct", "csr"), ("gemm", "csr")]
    for algorithm, format in choices:
        values = lowered(tmp_path, pruned, algorithm, format).values
        assert values["numerics"] == {"dtype": "float32", "layers": {}}


def test_winograd_is_told_apart_by_layer_and_tile(network: Artifact, tmp_path: Path) -> None:
    numerics = lowered(tmp_path, network, "winograd", target=AVX512).values["numerics"]
    assert numerics["dtype"] == "float32"
    layers = numerics["layers"]
    assert len(layers) > 5
    assert set(layers.values()) <= {"winograd F(2, 3)", "winograd F(4, 3)"}
