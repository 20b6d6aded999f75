"""Networks of timm and torchvision by their names: what there is, what is nearest, and what their weights want."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from explorer import models
from explorer.core import plugins
from explorer.core.errors import ExplorerError
from explorer.models import _libraries


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("timm:mobilenetv3_small_050", (1, 32, 32)),
        ("timm:mobilenetv3_small_100.lamb_in1k", (3, 32, 32)),
        ("timm:vit_tiny_patch16_224", (3, 32, 48)),
        ("torchvision:regnet_y_400mf", (1, 32, 32)),
        ("torchvision:vit_b_32", (3, 64, 64)),
        ("torchvision:googlenet", (3, 64, 64)),
    ],
)
def test_classes_channels_and_size_are_the_data_sets(name: str, shape: tuple[int, int, int]) -> None:
    # A network's shape may follow from tensors with values, as RegNet's does.
    with torch.device("cpu" if "regnet" in name else "meta"), torch.no_grad():
        model = models.builder(name)(1.0, 7, shape).eval()
        assert model(torch.empty(2, *shape)).shape == (2, 7)
    with torch.device("meta"):
        own = models.builder("timm:mobilenetv3_small_050")(1.0, 1000, (3, 224, 224)).state_dict()
        theirs = timm.create_model("mobilenetv3_small_050").state_dict()
    assert {key: array.shape for key, array in own.items()} == {key: array.shape for key, array in theirs.items()}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("timm:mobilnetv3_small_100", "did you mean 'timm:mobilenetv3_small_100'"),
        ("timm:resnet18.of_nobody", "did you mean 'timm:resnet18'"),
        ("torchvision:regnet_y_400m", "did you mean 'torchvision:regnet_y_400mf'"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ExplorerError, match=f"unknown model '{name}'.*{near}"):
        models.builder(name)


def test_a_library_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(library: str, *, with_weights: bool = False) -> list[str]:
        raise ModuleNotFoundError("No module named 'timm'")

    monkeypatch.setattr(_libraries, "names", missing)
    assert _libraries.check("timm:resnet18") == (
        "model timm:resnet18 needs the package timm, which pip install timm brings: No module named 'timm'"
    )


def test_weights_want_what_the_library_configures() -> None:
    assert _libraries.wanted("timm:tf_efficientnet_lite0") == {
        "mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 224, "crop": 0.875, "interpolation": "bicubic"
    }  # fmt: skip
    found = _libraries.wanted("torchvision:regnet_y_400mf")
    assert (found["image_size"], round(found["image_size"] / found["crop"]), found["interpolation"]) == (
        224,
        232,
        "bilinear",
    )
    assert found["mean"] == [0.485, 0.456, 0.406]


def test_pretrained_models_want_what_torchvision_configures() -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    entries = {entry.url: entry for name in names for entry in torchvision.models.get_model_weights(name)}
    for name in plugins.names("model"):
        if url := plugins.literal("model", name, "PRETRAINED"):
            transform, asked = entries[url].transforms(), plugins.literal("model", name, "PRETRAINED_INPUT")
            assert transform.crop_size == [224]
            assert int(224 / asked["crop"] + 1e-6) == transform.resize_size[0], name
            assert transform.interpolation.value == asked["interpolation"], name
            assert transform.mean == [0.485, 0.456, 0.406]
