"""Checkpoints in the forms that people have them; what does not fit is listed, and nothing in a file is executed."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.errors import ExplorerError, StageFailed
from explorer.line.training.initial import weight_files, weights
from tests import torch_stages

CLASSES = 10
LOSS = {"criterion.weight": torch.ones(CLASSES)}


def network(classes: int = CLASSES, kernel: int = 3) -> nn.Module:
    layers = [nn.Conv2d(1, 4, kernel), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(classes)]
    model = nn.Sequential(*layers)
    model(torch.zeros(2, 1, 5, 5))
    return model


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "file.pt")
    return folder / "file.pt"


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def failure(path: Path, model: nn.Module, epochs: int = 1) -> StageFailed:
    with pytest.raises(StageFailed) as failed:
        weights.initialise(model, path, CLASSES, epochs)
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("train", "weights")
    return failed.value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model.state_dict(),
        lambda model: {"state_dict": model.state_dict(), "epoch": 3},
        lambda model: {"model": model.state_dict(), "optimizer": torch.optim.SGD(model.parameters()).state_dict()},
        lambda model: nn.DataParallel(model).state_dict(),
        lambda model: {"state_dict": nn.DataParallel(model).state_dict()},
        lambda model: {name: x for name, x in model.state_dict().items() if not name.endswith("num_batches_tracked")},
        lambda model: {"ema": {"module": torch.nn.DataParallel(model).state_dict()}, "epoch": 3},
        lambda model: {"state_dict": {f"model._orig_mod.{name}": x for name, x in model.state_dict().items()}},
        # Lightning's, beside the weights of a loss.
        lambda model: {"state_dict": {f"model.{name}": x for name, x in model.state_dict().items()} | LOSS},
        lambda model: {"state_dict": model.state_dict(), "state_dict_ema": network().state_dict()},
    ],
)
def test_weights_in_every_wrapping(wrap: Callable[[nn.Module], Any], tmp_path: Path) -> None:
    theirs, ours = network(), network()
    assert not same(ours, theirs)
    assert weights.initialise(ours, saved(wrap(theirs), tmp_path), CLASSES, 0) == {"reinitialised": []}
    assert same(ours, theirs)


def test_a_classifier_of_other_classes_is_left_random_and_named(tmp_path: Path) -> None:
    theirs, ours = network(classes=1000), network()
    path = saved(theirs.state_dict(), tmp_path)
    assert weights.initialise(ours, path, CLASSES, 1) == {
        "reinitialised": ["3.weight", "3.bias"],
        "note": "the weights in file.pt are of other classes: 3.weight, 3.bias start at random",
    }
    assert torch.equal(ours[0].weight, theirs[0].weight)  # type: ignore[index]
    assert len(ours[3].weight) == CLASSES  # type: ignore[index]
    assert "another classifier (3.weight 1000x36 in the file, 10x36 in the model), which epochs = 0 leaves" in str(
        failure(path, network(), epochs=0)
    )


def test_what_does_not_fit_is_listed_with_both_shapes(tmp_path: Path) -> None:
    state = network(kernel=5).state_dict()
    state["extra"] = state.pop("1.bias")
    state["1.weight"][0] = float("nan")
    message = str(failure(saved(state, tmp_path), network()))
    assert message == (
        "weights: file.pt does not fit the model: "
        "of another shape: 0.weight 4x1x5x5 in the file, 4x1x3x3 in the model, 3.weight 10x4 in the file, "
        "10x36 in the model; missing in the file: 1.bias; unknown to the model: extra; not finite: 1.weight"
    )


def test_a_long_list_is_cut_short_in_the_message_and_whole_in_the_log(tmp_path: Path) -> None:
    failed = failure(saved({"a": torch.zeros(1)}, tmp_path), nn.Sequential(*(nn.Linear(1, 1) for _ in range(5))))
    assert "0.weight, 0.bias, 1.weight, 1.bias and 6 more" in str(failed)
    assert failed.failure.log.count("missing in the file: ") == 10


def test_other_names_fit_by_order_if_kinds_and_shapes_do(tmp_path: Path) -> None:
    theirs, ours = network(), network()
    state = {f"a{index}.{name.rpartition('.')[2]}": x for index, (name, x) in enumerate(theirs.state_dict().items())}
    values = weights.initialise(ours, saved(state, tmp_path), CLASSES, 0)
    assert same(ours, theirs)
    assert values["note"] == (
        "the weights in file.pt have other names and are taken by order: all 8 tensors are of the same kind and shape"
    )
    swapped = dict(zip(state, [*state.values()], strict=True))
    names = [*state]
    names[2], names[3] = names[3], names[2]  # a batch norm's weight and bias, which have one shape
    failed = failure(saved({name: swapped[name] for name in names}, tmp_path), network())
    assert "missing in the file: 0.weight, 0.bias" in str(failed)


class Own(nn.Module):
    pass


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: torch.save(Own(), path), rf"needs Python code to be loaded \({__name__}.Own\)"),
        (lambda path: torch.save({"model": {}, "args": argparse.Namespace()}, path), r"\(argparse.Namespace\): save"),
        (lambda path: torch.jit.save(torch.jit.script(nn.ReLU()), path), "is a TorchScript archive: save"),
        (lambda path: path.write_text("hello"), "is no checkpoint that torch.save wrote, or is damaged"),
        (lambda path: path.write_bytes(b""), "is no checkpoint that torch.save wrote, or is damaged"),
        (lambda path: path.write_bytes(pickle.dumps([1])), "is no checkpoint that torch.save wrote, or is damaged"),
        (lambda path: torch.save([torch.zeros(1)], path), "holds no state dict"),
        (lambda path: torch.save({"epoch": 1}, path), "holds no state dict"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated, and files of it are still around
def test_a_file_without_weights_is_one_sentence(write: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    write(path)
    with pytest.raises(ExplorerError, match=message) as error:
        weight_files.read(path)
    assert "\n" not in str(error.value)
    assert weights.check(str(path)) == str(error.value)
    assert str(error.value) in str(failure(path, network()))


def test_safetensors_are_read_and_damaged_ones_are_one_sentence(tmp_path: Path) -> None:
    theirs, ours = network(), network()
    path = tmp_path / "file.safetensors"
    safetensors.torch.save_file(theirs.state_dict(), path)
    assert weights.initialise(ours, path, CLASSES, 0) == {"reinitialised": []}
    assert same(ours, theirs)
    path.write_bytes(path.read_bytes()[:100])
    assert (weights.check(str(path)) or "").endswith("is no file that safetensors wrote, or is damaged")


def test_densenets_of_2017_are_read(tmp_path: Path) -> None:
    with torch.device("meta"):
        names = torchvision.models.densenet161().state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): torch.zeros(1) for name in names}
    assert old.keys() != names.keys()
    assert weight_files.read(saved(old, tmp_path)).keys() == names.keys()


PRETRAINED = {name: url for name in plugins.names("model") if (url := plugins.literal("model", name, "PRETRAINED"))}


def test_pretrained_weights_are_those_that_torchvision_has_for_such_a_model() -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    entries = [entry for name in names for entry in torchvision.models.get_model_weights(name)]
    parameters = {entry.url: entry.meta["num_params"] for entry in entries}
    assert len(PRETRAINED) == 6
    for name, url in PRETRAINED.items():
        with torch.device("meta"):
            model = plugins.load("model", name).build(1.0, 1000, (3, 224, 224))
        assert sum(parameter.numel() for parameter in model.parameters()) == parameters[url]


def test_imagenets_weights_on_small_images_fit_where_the_stem_is_the_same(tmp_path: Path) -> None:
    theirs: dict[str, Tensor] = torchvision.models.mobilenet_v2().state_dict()
    ours = plugins.load("model", "mobilenetv2").build(1.0, CLASSES, (3, 32, 32))
    values = weights.initialise(ours, saved(theirs, tmp_path), CLASSES, 1)
    assert values["reinitialised"] == ["classifier.1.weight", "classifier.1.bias"]
    assert torch.equal(ours.state_dict()["features.0.0.weight"], theirs["features.0.0.weight"])
    theirs = torchvision.models.resnet18().state_dict()
    failed = failure(saved(theirs, tmp_path), plugins.load("model", "resnet18").build(1.0, CLASSES, (3, 32, 32)))
    assert "of another shape: conv1.weight 64x3x7x7 in the file, 64x3x3x3 in the model" in str(failed)


def test_trained_weights_are_trained_on_or_evaluated_as_they_are(tmp_path: Path) -> None:
    digits = torch_stages.data(tmp_path)
    first = torch_stages.train(tmp_path / "first", digits)
    start = Artifact("weights", "weights", first.path / "weights.pt")

    def again(folder: str, epochs: int) -> Artifact:
        return torch_stages.train(tmp_path / folder, digits, start=start, weights="file", epochs=epochs)

    same = again("same", 0)
    assert same.values["reinitialised"] == []
    assert "note" not in same.values
    assert same.values["validation_accuracy"] == first.values["validation_accuracy"]
    on = again("on", 1)
    assert on.values["validation_accuracy"] > 0.8
    before, after = (torch.load(each.path / "weights.pt", weights_only=True) for each in (same, on))
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
