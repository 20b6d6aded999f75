"""What every data set, model and compression must do; a new file in one of their folders is tested by being there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer import accounting, plugins
from explorer.configuration import takes_ratio
from explorer.datasets import SPLITS, Splits
from explorer.onnx_export import export
from tests.torch_stages import onnx_outputs

SHAPES = ((1, 8, 8), (3, 32, 32))
RATIOS = (0.5, 0.9)


def model_of(name: str, width: float = 0.25, classes: int = 10, shape: tuple[int, int, int] = (1, 8, 8)) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = plugins.load("model", name).build(width, classes, shape)
    return model


def weights_of(model: nn.Module) -> list[Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("name", plugins.names("dataset"))
class TestDataset:
    def test_splits_are_labelled_images_of_one_shape(self, name: str) -> None:
        splits: Splits = plugins.load("dataset", name).load(0.2, 0.25, 0)
        for split in (getattr(splits, split) for split in SPLITS):
            assert split.pixels.dtype == np.float32
            assert split.pixels.shape == (len(split.labels), *splits.shape)
            assert split.labels.dtype == np.int64
            assert set(np.unique(split.labels)) == set(range(splits.classes))
            assert np.isfinite(split.pixels).all()

    def test_the_seed_decides_the_split(self, name: str) -> None:
        load = plugins.load("dataset", name).load
        assert load(0.2, 0.25, 1).digest == load(0.2, 0.25, 1).digest
        assert load(0.2, 0.25, 1).digest != load(0.2, 0.25, 2).digest


@pytest.mark.parametrize("name", plugins.names("model"))
class TestModel:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_images_become_logits(self, name: str, shape: tuple[int, int, int]) -> None:
        model = model_of(name, classes=7, shape=shape).eval()
        assert model(torch.randn(2, *shape)).shape == (2, 7)

    def test_width_scales_the_channels_in_multiples_of_8(self, name: str) -> None:
        narrow, wide = (accounting.account(model_of(name, width), torch.zeros(1, 1, 8, 8)) for width in (0.25, 1.0))
        *body, classifier = narrow.values()
        assert all(layer["channels"] % 8 == 0 for layer in body)
        assert classifier["channels"] == 10
        assert accounting.total(narrow, "macs") < 0.3 * accounting.total(wide, "macs")

    def test_the_seed_decides_the_weights(self, name: str) -> None:
        first, second = model_of(name).state_dict(), model_of(name).state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_exported_network_computes_the_same(
        self, name: str, shape: tuple[int, int, int], tmp_path: Path
    ) -> None:
        model = model_of(name, shape=shape).train()
        model(torch.randn(32, *shape))  # so that batch norms have statistics to fold
        images = torch.randn(4, *shape)
        export(model, torch.zeros(1, *shape), tmp_path / "network.onnx")
        with torch.no_grad():
            expected = model.eval()(images).numpy()
        difference = np.abs(onnx_outputs(tmp_path / "network.onnx", images.numpy()) - expected).max()
        assert difference <= 1e-4 * np.abs(expected).max()


@cache
def compressed(name: str, model_name: str, ratio: float) -> tuple[nn.Module, list[float]]:
    """Return what the compression makes of the model, and the shares of the fine-tuning that it asked for."""
    shares: list[float] = []

    def fine_tune(model: nn.Module, share: float = 1.0) -> None:
        shares.append(share)
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-3)
        for _ in range(2):
            loss = nn.functional.cross_entropy(model.train()(torch.randn(8, 1, 8, 8)), torch.arange(8))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    plugin = plugins.load("compression", name)
    return plugin.compress(
        model_of(model_name), ratio if takes_ratio(name) else None, torch.zeros(1, 1, 8, 8), fine_tune
    ), shares


@pytest.mark.parametrize("model_name", plugins.names("model"))
@pytest.mark.parametrize("name", plugins.names("compression"))
class TestCompression:
    @pytest.mark.parametrize("ratio", RATIOS)
    def test_the_compressed_model_still_classifies(self, name: str, model_name: str, ratio: float) -> None:
        model, shares = compressed(name, model_name, ratio)
        assert model.eval()(torch.randn(3, 1, 8, 8)).shape == (3, 10)
        assert sum(shares) <= 1 + 1e-9
        assert all(weight.is_leaf and weight.count_nonzero() for weight in weights_of(model))

    def test_a_higher_ratio_leaves_less(self, name: str, model_name: str) -> None:
        left = [
            sum(int(weight.count_nonzero()) for weight in weights_of(compressed(name, model_name, ratio)[0]))
            for ratio in RATIOS
        ]
        whole = sum(weight.numel() for weight in weights_of(model_of(model_name)))
        if takes_ratio(name):
            assert whole > left[0] > left[1] > 0
        else:
            assert left == [whole, whole]
