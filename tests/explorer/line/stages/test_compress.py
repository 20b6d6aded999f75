from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from torch import nn

from explorer.compression import gradually
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.settings import CompressSettings
from explorer.line.prepared import Prepared
from explorer.line.stages import compress as stage
from explorer.line.training import training
from explorer.processes.pool import Worker
from tests import torch_stages
from tests.conftest import Compress
from tests.explorer.conftest import BRANCHING


def test_none_keeps_the_trained_model(trained: Artifact, compressed: Compress) -> None:
    network = compressed().values
    assert network["torch_accuracy"] == trained.values["validation_accuracy"]
    assert network["parameters"] == trained.values["parameters"]
    assert network["weights"] == network["nonzeros"]
    assert (network["removed_weights"], network["removed_channels"]) == (0, 0)


@pytest.mark.parametrize(("compression", "ratio"), [("none", None), ("weight_pruning", 0.75), ("channel_pruning", 0.5)])
def test_the_network_computes_what_torch_does(
    compression: str, ratio: float | None, digits: Artifact, compressed: Compress
) -> None:
    network = compressed(compression, ratio)
    splits = Prepared.load(digits)
    with np.load(network.path / "reference.npz") as reference:
        images, logits = reference["images"], reference["logits"]
    assert logits.shape == (64, 10)
    np.testing.assert_array_equal(images, splits.test[:64])
    onnx_path = network.path / "network.onnx"
    np.testing.assert_allclose(torch_stages.onnx_outputs(onnx_path, images), logits, rtol=1e-4, atol=1e-4)
    classes = torch_stages.onnx_outputs(onnx_path, splits.validation[:]).argmax(1)
    with np.load(network.path / "answers.npz") as answers:
        np.testing.assert_array_equal(answers["validation"], classes)
        assert answers["test"].shape == (450,)
    hits = classes == splits.validation.labels
    assert hits.mean() == pytest.approx(network.values["torch_accuracy"])


def test_the_network_has_its_batch_norms_folded_and_its_weights_inside(compressed: Compress) -> None:
    network = compressed()
    assert sorted(file.name for file in network.path.iterdir()) == ["answers.npz", "network.onnx", "reference.npz"]
    graph = onnx.load(network.path / "network.onnx").graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    constants = sum(onnx.numpy_helper.to_array(value).nbytes for value in graph.initializer)
    assert constants == pytest.approx(4 * network.values["parameters"], rel=0.05)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("epochs", [0, 1, 2, 4, 30])
def test_the_steps_share_out_all_epochs_and_the_last_gets_most(
    epochs: int, steps: int, digits: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[int] = []
    monkeypatch.setattr(training, "fit", lambda stage, model, images, recipe, epochs, loss: spent.append(epochs))
    fine_tune = stage.fine_tuning(CompressSettings(epochs=epochs), Prepared.load(digits))
    for step in gradually(steps):
        fine_tune(nn.Identity(), step.fine_tuning)
    assert len(spent) == steps
    assert sum(spent) == epochs
    assert spent[-1] >= epochs * (0.75 if steps > 1 else 1)


def test_costs_are_on_record_before_and_after(trained: Artifact, compressed: Compress) -> None:
    values = compressed("channel_pruning", 0.5, epochs=0).values
    assert values["parameters_before"] == trained.values["parameters"] > values["parameters"]
    for quantity in ("weights", "nonzeros", "channels", "macs"):
        before, after = (
            sum(layer[when][quantity] for layer in values["layers"].values()) for when in ("before", "after")
        )
        assert (values[f"{quantity}_before"], values[quantity]) == (before, after)
        assert after < before
    assert values["weight_bytes_before"] == 4 * values["weights_before"]
    assert values["kept_in_multiples_of"] == 8


def test_fine_tuning_recovers_what_pruning_lost(compressed: Compress) -> None:
    pruned, tuned = (compressed("channel_pruning", 0.5, epochs) for epochs in (0, 3))
    assert tuned.values["torch_accuracy"] > pruned.values["torch_accuracy"] + 0.1


def test_equal_parameters_give_equal_bytes(
    digits: Artifact, trained: Artifact, compressed: Compress, tmp_path: Path
) -> None:
    first = compressed("weight_pruning", 0.75)
    second = torch_stages.compress(tmp_path, digits, trained, "weight_pruning", 0.75, epochs=1)
    assert first.values == second.values
    for file in first.path.iterdir():
        assert file.read_bytes() == (second.path / file.name).read_bytes()


def compress_again(data: str, values: Mapping[str, Any], trained: str, out: str) -> None:
    artifacts = Artifact("data", "data", Path(data), values), Artifact("train", "train", Path(trained))
    torch_stages.compress(Path(out), *artifacts, "channel_pruning", 0.5, epochs=1)


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(
    digits: Artifact, trained: Artifact, compressed: Compress, tmp_path: Path
) -> None:
    here = compressed("channel_pruning", 0.5)
    arguments = {
        "data": str(digits.path), "values": dict(digits.values), "trained": str(trained.path), "out": str(tmp_path),
    }  # fmt: skip
    worker = Worker("torch", "torch 1", tmp_path / "log", threads=1)
    try:
        worker.request({"call": f"{__name__}:compress_again", "arguments": arguments})
    finally:
        worker.stop()
    for file in here.path.iterdir():
        assert file.read_bytes() == (tmp_path / "compress" / file.name).read_bytes()


def test_fine_tuning_that_diverges_is_a_failure(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="the loss became") as failed:
        torch_stages.compress(tmp_path, digits, trained, "weight_pruning", 0.5, learning_rate=1e3)
    assert failed.value.failure.stage == "compress"


def test_a_compression_of_the_users_own(
    digits: Artifact, trained: Artifact, compressed: Compress, tmp_path: Path
) -> None:
    plain = compressed()
    halved = torch_stages.compress(tmp_path, digits, trained, "tests.custom_plugins:halve_magnitudes", 0.5)
    assert halved.values["torch_accuracy"] == plain.values["torch_accuracy"]
    with np.load(plain.path / "reference.npz") as first, np.load(halved.path / "reference.npz") as second:
        np.testing.assert_allclose(second["logits"], first["logits"] / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("compression", "ratio"), [("none", None), ("weight_pruning", 0.5), ("channel_pruning", 0.5)])
def test_a_model_that_fx_cannot_trace_is_compressed_all_the_same(
    compression: str, ratio: float | None, stripes: Artifact, branching: Artifact, tmp_path: Path
) -> None:
    network = torch_stages.compress(tmp_path, stripes, branching, compression, ratio, **BRANCHING)
    assert network.values["torch_accuracy"] > 0.9
    graph = onnx.load(network.path / "network.onnx").graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_a_model_that_torch_pruning_takes_apart_wrongly_is_a_failure(stripes: Artifact, tmp_path: Path) -> None:
    model = "tests.custom_plugins:sliced"
    trained = torch_stages.train(tmp_path, stripes, model, 0.5, epochs=1)
    with pytest.raises(StageFailed, match=r"those of 'features\.0' have to stay, because the network fails") as failed:
        torch_stages.compress(tmp_path, stripes, trained, "channel_pruning", 0.5, model, 0.5)
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("compress", "unsupported")
