"""Models that there are, and how a file of weights fits one before any data is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import explorer
from explorer.core import plugins
from explorer.core.errors import ExplorerError
from explorer.models import builder
from tests.explorer.command import answer, dlas, document


def test_models_are_the_bundled_ones_or_a_librarys() -> None:
    bundled = {model.name: model for model in explorer.list_models()}
    assert set(bundled) == set(plugins.names("model"))
    assert bundled["resnet18"].pretrained
    assert bundled["vit_tiny"].about.startswith("timm's ViT-Tiny")
    assert not bundled["vit_tiny"].pretrained
    found = [model.name for model in explorer.list_models("torchvision:regnet_y_4")]
    assert found == ["torchvision:regnet_y_400mf"]
    with pytest.raises(
        ExplorerError, match="unknown library in 'tim:resnet'; allowed: timm, torchvision; did you mean"
    ):
        explorer.list_models("tim:resnet")


def test_tensors_stand_beside_those_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = builder("mobilenetv1")(0.25, 5, (1, 32, 32)).state_dict()
    file = tmp_path / "a.pt"
    torch.save({"model": {f"t{index}.{name.rpartition('.')[2]}": tensor for index, (name, tensor)
                          in enumerate(state.items()) if not name.endswith("tracked")}}, file)  # fmt: skip
    found = answer(capsys, "weights", file, "--model", "mobilenetv1", "--width", 0.25, "--shape", "1x32x32")[
        "comparison"
    ]
    assert (found["fits"], found["by_order"], found["under"], found["classes"]) == (True, True, "model", 5)
    assert {row["state"] for row in found["tensors"]} == {"fits"}
    assert found["tensors"][0] == {
        "name": "0.0.weight", "shape": [8, 1, 3, 3], "file_name": "t0.weight", "file_shape": [8, 1, 3, 3],
        "state": "fits",
    }  # fmt: skip
    other = explorer.check_weights(file, "mobilenetv1", 0.25, 10, (1, 32, 32))
    assert other.fits
    assert [row["state"] for row in other.tensors if row["state"] != "fits"] == ["other classes"] * 2
    wide = ("weights", file, "--model", "mobilenetv1", "--width", 0.5, "--classes", 5, "--shape", "1x32x32")
    assert "does not fit" in document(capsys, *wide, code=2)["error"]["message"]
    assert dlas(*wide) == 2
    printed = capsys.readouterr()
    assert "does not fit the model: missing in the file: 0.0.weight" in printed.err
    assert "unknown to the model" in printed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone.pt", "--model", "resnet18"), "gone.pt: no such file"),
        ((__file__, "--model", "resnet81"), "unknown model 'resnet81'.*did you mean 'resnet18'"),
        ((__file__, "--model", "timm:resnet18", "--width", 0.5), "has no width other than 1"),
        ((__file__, "--model", "onnx:net.onnx"), "model onnx:net.onnx is an ONNX file, which has its own weights"),
        ((__file__, "--model", "resnet18", "--shape", "32"), "allowed: channels, height and width as 3x32x32"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dlas("weights", *arguments) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.search(message, error)
