from __future__ import annotations

import copy
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from explorer.compression import channel_pruning, gradually, weight_pruning
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.settings import CompressSettings
from explorer.line.prepared import Prepared
from explorer.line.stages import compress as stage
from explorer.line.training import training
from tests import ROOT, torch_stages

LAST = "fc"  # resnet18's classifier


def test_none_keeps_the_trained_model(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    network = torch_stages.compress(tmp_path, digits, trained).values
    assert network["torch_accuracy"] == trained.values["validation_accuracy"]
    assert network["parameters"] == trained.values["parameters"]
    assert network["weights"] == network["nonzeros"]
    assert (network["removed_weights"], network["removed_channels"]) == (0, 0)


@pytest.mark.parametrize(("compression", "ratio"), [("none", None), ("weight_pruning", 0.75), ("channel_pruning", 0.5)])
def test_the_network_computes_what_torch_does(
    compression: str, ratio: float | None, digits: Artifact, trained: Artifact, tmp_path: Path
) -> None:
    network = torch_stages.compress(tmp_path, digits, trained, compression, ratio, epochs=1)
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


def test_the_network_has_its_batch_norms_folded_and_its_weights_inside(
    digits: Artifact, trained: Artifact, tmp_path: Path
) -> None:
    network = torch_stages.compress(tmp_path, digits, trained)
    assert sorted(file.name for file in network.path.iterdir()) == ["answers.npz", "network.onnx", "reference.npz"]
    graph = onnx.load(network.path / "network.onnx").graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    constants = sum(onnx.numpy_helper.to_array(value).nbytes for value in graph.initializer)
    assert constants == pytest.approx(4 * network.values["parameters"], rel=0.05)


@pytest.mark.parametrize(("ratio", "scores"), [(0.5, "l1"), (0.9, "l1"), (0.9, "lamp")])
def test_weight_pruning_zeroes_exactly_the_share_asked_for(
    ratio: float, scores: str, digits: Artifact, trained: Artifact, tmp_path: Path
) -> None:
    network = torch_stages.compress(tmp_path, digits, trained, "weight_pruning", ratio, epochs=1, scores=scores)
    weights, nonzeros = network.values["weights"], network.values["nonzeros"]
    assert weights - nonzeros == round(ratio * weights)
    graph = onnx.load(network.path / "network.onnx").graph
    filters = [onnx.numpy_helper.to_array(value) for value in graph.initializer if len(value.dims) > 1]
    assert sum(np.count_nonzero(values) for values in filters) == nonzeros
    assert network.values["macs"] == network.values["macs_before"]


@pytest.mark.parametrize("scores", ["l1", "lamp"])
def test_what_one_step_removes_stays_removed(scores: str) -> None:
    """And no layer is emptied, however small its weights are beside those of the others."""
    torch.manual_seed(0)
    small = nn.Conv2d(8, 8, 3)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), small, nn.Flatten(), nn.Linear(128, 10))
    with torch.no_grad():
        small.weight.mul_(1e-3)
    zeros: list[torch.Tensor] = []

    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        zeros.append(torch.cat([weight.flatten() == 0 for weight in weights_of(model)]))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 1, 8, 8)).square().mean().backward()
            optimizer.step()

    weight_pruning.compress(model, 0.9, torch.zeros(1, 1, 8, 8), fine_tune, scores=scores, steps=3)
    zeros.append(torch.cat([weight.flatten() == 0 for weight in weights_of(model)]))
    count = len(zeros[0])
    assert [int(zero.sum()) for zero in zeros] == [round(share * 0.9 * count) for share in (19 / 27, 26 / 27, 1, 1)]
    assert all((later | ~earlier).all() for earlier, later in itertools.pairwise(zeros))
    left = [weight.count_nonzero() / weight.numel() for weight in weights_of(model)]
    assert min(left) >= (weight_pruning.FLOOR * 0.1 if scores == "l1" else 1e-3)


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("epochs", [0, 1, 2, 4, 30])
def test_the_steps_share_out_all_epochs_and_the_last_gets_most(
    epochs: int, steps: int, digits: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[int] = []
    monkeypatch.setattr(training, "fit", lambda stage, model, images, recipe, epochs: spent.append(epochs))
    fine_tune = stage.fine_tuning(CompressSettings(epochs=epochs), Prepared.load(digits))
    for step in gradually(steps):
        fine_tune(nn.Identity(), step.fine_tuning)
    assert len(spent) == steps
    assert sum(spent) == epochs
    assert spent[-1] >= epochs * (0.75 if steps > 1 else 1)


def test_costs_are_on_record_before_and_after(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    values = torch_stages.compress(tmp_path, digits, trained, "channel_pruning", 0.5, epochs=0).values
    assert values["parameters_before"] == trained.values["parameters"] > values["parameters"]
    for quantity in ("weights", "nonzeros", "channels", "macs"):
        before, after = (
            sum(layer[when][quantity] for layer in values["layers"].values()) for when in ("before", "after")
        )
        assert (values[f"{quantity}_before"], values[quantity]) == (before, after)
        assert after < before
    assert values["weight_bytes_before"] == 4 * values["weights_before"]
    assert values["kept_in_multiples_of"] == 8


def test_channel_pruning_makes_every_layer_narrower_but_keeps_the_classes(
    digits: Artifact, trained: Artifact, tmp_path: Path
) -> None:
    network = torch_stages.compress(tmp_path, digits, trained, "channel_pruning", 0.5, epochs=1)
    for name, layer in network.values["layers"].items():
        before, after = layer["before"]["channels"], layer["after"]["channels"]
        assert after == (10 if name == LAST else max(8, before // 2))
    assert network.values["macs"] < 0.4 * sum(layer["before"]["macs"] for layer in network.values["layers"].values())
    assert network.values["removed_weights"] > 0.6
    assert 0.4 < network.values["removed_channels"] < 0.5
    assert network.values["weights"] == network.values["nonzeros"]


@pytest.mark.parametrize(
    ("width", "ratio", "kept"),
    [
        (64, 0.5, 32),
        (64, 0.75, 16),
        (24, 0.5, 16),
        (24, 0.75, 8),
        (16, 0.9, 8),
        (8, 0.5, 8),
        (4, 0.5, 4),
        (56, 0.1, 48),
    ],
)
def test_channels_are_kept_in_multiples_of_8(width: int, ratio: float, kept: int) -> None:
    assert channel_pruning.kept(width, ratio, 8) == kept


@pytest.mark.parametrize(
    ("width", "multiple", "kept"), [(64, 1, 32), (5, 1, 2), (1, 1, 1), (40, 16, 16), (44, 3, 21), (24, 32, 24)]
)
def test_channels_are_kept_in_multiples_of_what_is_asked_for(width: int, multiple: int, kept: int) -> None:
    assert channel_pruning.kept(width, 0.5, multiple) == kept


def test_a_layer_that_no_multiple_fits_is_cut_down_to_one() -> None:
    assert channel_pruning.kept(44, 0.01, 16) == 32


@pytest.mark.parametrize(("norm", "left"), [("l1", 4.0), ("l2", 3.0)])
def test_the_norm_decides_which_channel_goes(norm: str, left: float) -> None:
    """Of a channel with one weight of 3 and one with four of 1, the sum of magnitudes keeps the latter."""
    layer, classifier = nn.Conv2d(1, 2, 2, bias=False), nn.Linear(2, 10)
    model = nn.Sequential(layer, nn.Flatten(), classifier)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[3.0, 0.0], [0.0, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]]))
        classifier.weight.zero_()
    channel_pruning.compress(
        model, 0.5, torch.zeros(1, 1, 2, 2), lambda model, share=1.0, pace=1.0: None, norm=norm, channel_multiple=1
    )
    assert layer.weight.abs().sum() == left


def test_what_the_least_channels_of_a_grouped_convolution_wrote_is_all_that_is_lost() -> None:
    torch.manual_seed(0)
    first, grouped, last = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 24, 3, groups=4), nn.Linear(24 * 16, 10)
    model = nn.Sequential(first, grouped, nn.Flatten(), last)
    with torch.no_grad():
        for place in (0, 2):  # of each of the 4 groups' inputs
            first.weight[place::4], first.bias[place::4], grouped.weight[:, place] = 0, 0, 0  # type: ignore[index]
        for place in (1, 3, 4):  # of each group's outputs
            grouped.weight[place::6], grouped.bias[place::6] = 0, 0  # type: ignore[index]
            last.weight.view(10, 24, 16)[:, place::6] = 0
    images = torch.randn(3, 1, 8, 8)
    expected = model(images)
    for steps in (1, 3):
        pruned = copy.deepcopy(model)
        channel_pruning.compress(
            pruned, 0.5, images[:1], lambda model, share=1.0, pace=1.0: None, channel_multiple=1, steps=steps
        )
        assert [tuple(weight.shape[:2]) for weight in weights_of(pruned)] == [(8, 1), (12, 2), (10, 12 * 16)]
        torch.testing.assert_close(pruned(images), expected)


def test_fine_tuning_recovers_what_pruning_lost(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    pruned = torch_stages.compress(tmp_path / "a", digits, trained, "channel_pruning", 0.5, epochs=0)
    tuned = torch_stages.compress(tmp_path / "b", digits, trained, "channel_pruning", 0.5, epochs=3)
    assert tuned.values["torch_accuracy"] > pruned.values["torch_accuracy"] + 0.1


@pytest.mark.parametrize("compression", ["weight_pruning", "channel_pruning"])
def test_equal_parameters_give_equal_bytes(
    compression: str, digits: Artifact, trained: Artifact, tmp_path: Path
) -> None:
    first, second = (
        torch_stages.compress(tmp_path / folder, digits, trained, compression, 0.5, epochs=1) for folder in "ab"
    )
    assert first.values == second.values
    for file in first.path.iterdir():
        assert file.read_bytes() == (second.path / file.name).read_bytes()


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    here = torch_stages.compress(tmp_path / "a", digits, trained, "channel_pruning", 0.5, epochs=1)
    code = f"""
import subprocess
import sys
from pathlib import Path
from explorer.core.artifact import Artifact
from tests import torch_stages
data = Artifact("data", "data", Path({str(digits.path)!r}), {dict(digits.values)!r})
trained = Artifact("train", "train", Path({str(trained.path)!r}))
torch_stages.compress(Path({str(tmp_path / "b")!r}), data, trained, "channel_pruning", 0.5, epochs=1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    for file in here.path.iterdir():
        assert file.read_bytes() == (tmp_path / "b" / "compress" / file.name).read_bytes()


def test_fine_tuning_that_diverges_is_a_failure(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="the loss became") as failed:
        torch_stages.compress(tmp_path, digits, trained, "weight_pruning", 0.5, learning_rate=1e30)
    assert failed.value.failure.stage == "compress"


def test_a_compression_of_the_users_own(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    plain = torch_stages.compress(tmp_path / "a", digits, trained)
    halved = torch_stages.compress(tmp_path / "b", digits, trained, "tests.custom_plugins:halve_magnitudes", 0.5)
    assert halved.values["torch_accuracy"] == plain.values["torch_accuracy"]
    with np.load(plain.path / "reference.npz") as first, np.load(halved.path / "reference.npz") as second:
        np.testing.assert_allclose(second["logits"], first["logits"] / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("compression", "ratio"), [("none", None), ("weight_pruning", 0.5), ("channel_pruning", 0.5)])
def test_a_model_that_fx_cannot_trace_is_compressed_all_the_same(
    compression: str, ratio: float | None, tmp_path: Path
) -> None:
    stripes = torch_stages.data(tmp_path, "tests.custom_plugins:stripes")
    custom: dict[str, object] = {"model": "tests.custom_plugins:branching", "width": 0.5, "batch_size": 16}
    trained = torch_stages.train(tmp_path, stripes, **custom)  # type: ignore[arg-type]
    network = torch_stages.compress(tmp_path, stripes, trained, compression, ratio, **custom)  # type: ignore[arg-type]
    assert network.values["torch_accuracy"] > 0.9
    graph = onnx.load(network.path / "network.onnx").graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_a_model_that_torch_pruning_takes_apart_wrongly_is_a_failure(tmp_path: Path) -> None:
    stripes = torch_stages.data(tmp_path, "tests.custom_plugins:stripes")
    model = "tests.custom_plugins:sliced"
    trained = torch_stages.train(tmp_path, stripes, model, 0.5, epochs=1)
    with pytest.raises(StageFailed, match="lost track") as failed:
        torch_stages.compress(tmp_path, stripes, trained, "channel_pruning", 0.5, model, 0.5)
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("compress", "unsupported")
