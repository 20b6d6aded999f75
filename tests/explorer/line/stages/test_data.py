from __future__ import annotations

import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from explorer.core.artifact import Artifact
from explorer.core.errors import ExplorerError, StageFailed
from explorer.datasets import SPLITS, Held, stratified
from explorer.line.prepared import Inputs, Prepared
from explorer.line.training import predictions, training
from tests import ROOT, data_sets, torch_stages

CIFAR10_JPEG = ROOT.parent / "shared" / "data" / "cifar10-jpeg.tar.xz"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return torch_stages.data(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return data_sets.tree(tmp_path / "images")


def inputs_of(artifact: Artifact) -> dict[str, Inputs]:
    prepared = Prepared.load(artifact)
    return {split: getattr(prepared, split) for split in SPLITS}


def folder(tmp_path: Path, root: Path, **settings: Any) -> Artifact:
    return torch_stages.data(tmp_path / "out", "image_folder", root, image_size=16, **settings)


def test_every_digit_lies_in_exactly_one_split(artifact: Artifact) -> None:
    mean, std = artifact.values["mean"][0], artifact.values["std"][0]
    restored = np.concatenate([images[:] for images in inputs_of(artifact).values()]) * std + mean
    images = np.rint(restored[:, 0] * 255 / 15)
    assert sorted(map(tuple, images.reshape(-1, 64))) == sorted(map(tuple, load_digits().images.reshape(-1, 64)))


def test_splits_have_the_shares_asked_for_in_every_class(artifact: Artifact) -> None:
    images = inputs_of(artifact)
    counts = [np.bincount(each.labels, minlength=10) for each in images.values()]
    shares = counts / np.sum(counts, axis=0)
    np.testing.assert_allclose(shares, np.array([[0.6], [0.15], [0.25]]) * np.ones(10), atol=0.01)
    assert [len(each) for each in images.values()] == [artifact.values[name] for name in SPLITS]


def test_training_images_have_mean_0_and_standard_deviation_1(artifact: Artifact) -> None:
    train = Prepared.load(artifact).train
    assert train[:].dtype == np.float32
    assert train.labels.dtype == np.int64
    assert train[:].mean() == pytest.approx(0, abs=1e-5)
    assert train[:].std() == pytest.approx(1, abs=1e-5)
    assert (artifact.values["classes"], artifact.values["shape"]) == (10, [1, 8, 8])
    assert artifact.values["class_names"] == list("0123456789")


def test_arrays_are_mapped_and_not_read(artifact: Artifact) -> None:
    images = Prepared.load(artifact).train.images
    assert isinstance(images, Held)
    assert isinstance(images.array, np.memmap)
    assert images.array.dtype == np.uint8


def test_the_seed_alone_decides_the_split(artifact: Artifact, tmp_path: Path) -> None:
    again, other = torch_stages.data(tmp_path / "0"), torch_stages.data(tmp_path / "1", seed=1)
    assert again.values == artifact.values
    for file in artifact.path.iterdir():
        assert (again.path / file.name).read_bytes() == file.read_bytes()
    assert other.values["digest"] != artifact.values["digest"]


def test_a_data_set_of_the_users_own(tmp_path: Path) -> None:
    artifact = torch_stages.data(tmp_path, "tests.custom_plugins:stripes", test=0.5, validation=0.4)
    assert [artifact.values[name] for name in SPLITS] == [60, 40, 100]
    assert (artifact.values["classes"], artifact.values["shape"]) == (2, [2, 12, 10])
    np.testing.assert_allclose(Prepared.load(artifact).train[:].mean((0, 2, 3)), 0, atol=1e-5)


def test_a_channel_without_contrast_stays_finite(tmp_path: Path) -> None:
    artifact = torch_stages.data(tmp_path, "tests.custom_plugins:one_channel_black")
    assert np.isfinite(Prepared.load(artifact).train[:]).all()


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(StageFailed, match="class"):
        stratified(Held(np.zeros((5, 1, 2, 2), np.uint8), np.array([0, 0, 0, 0, 1])), 0.4, 0)


def test_an_unknown_data_set_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="did you mean 'digits'"):
        torch_stages.data(tmp_path, "digit")


def test_a_split_without_a_class_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="has no test image of class 'vertical'") as failed:
        torch_stages.data(tmp_path, "tests.custom_plugins:horizontal_tests")
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("data", "unusable")


def test_a_folder_keeps_its_splits_and_lacking_ones_are_held_back_from_training(tmp_path: Path) -> None:
    whole = data_sets.tree(tmp_path / "whole", {"train": 8, "val": 2, "test": 3})
    assert [folder(tmp_path / "a", whole).values[split] for split in SPLITS] == [24, 6, 9]
    no_test = data_sets.tree(tmp_path / "no test", {"train": 8, "val": 2})
    assert [folder(tmp_path / "b", no_test).values[split] for split in SPLITS] == [18, 6, 6]
    train_only = data_sets.tree(tmp_path / "train only", {"train": 16})
    artifact = folder(tmp_path / "c", train_only, validation=0.5)
    assert [artifact.values[split] for split in SPLITS] == [18, 18, 12]
    assert all((np.bincount(images.labels) == len(images) / 3).all() for images in inputs_of(artifact).values())


def test_a_folder_is_normalised_by_its_training_images(tmp_path: Path, root: Path) -> None:
    artifact = folder(tmp_path, root)
    train = Prepared.load(artifact).train
    assert artifact.values["class_names"] == ["cat", "dog", "emu"]
    assert "note" not in artifact.values
    assert train[:].shape == (len(train), 3, 16, 16)
    np.testing.assert_allclose(train[:].mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(train[:].std((0, 2, 3)), 1, atol=1e-5)
    brightness = [train[:][train.labels == label].mean() for label in range(3)]
    assert brightness == sorted(brightness)


def test_a_folder_may_move(tmp_path: Path, root: Path) -> None:
    artifact = folder(tmp_path, root)
    before = Prepared.load(artifact).test[:]
    moved = root.rename(tmp_path / "elsewhere")
    there: Artifact = Artifact("data", "data", artifact.path, {**artifact.values, "root": str(moved)})
    np.testing.assert_array_equal(Prepared.load(there).test[:], before)
    with pytest.raises(StageFailed, match="was an image when the data set was read"):
        Prepared.load(artifact).test[:]


def test_the_middle_of_an_image_is_taken_at_the_size_asked_for(tmp_path: Path, root: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 50)
    for file in (root / "test" / "cat").iterdir():
        file.unlink()
    Image.fromarray(wide).save(root / "test" / "cat" / "wide.png")
    pixels = Prepared.load(folder(tmp_path, root)).test.pixels(np.array([0]))[0]
    assert pixels.shape == (3, 16, 16)
    np.testing.assert_array_equal(pixels[:, 2:-2, 2:-2], np.full((3, 12, 12), np.array([200, 100, 50])[:, None, None]))


def test_grey_and_palette_images_become_coloured(tmp_path: Path, root: Path) -> None:
    for mode in ("L", "P", "RGBA", "1"):
        data_sets.photo(1, 0, 20, 20).convert(mode).save(root / "test" / "cat" / f"{mode}.png")
    assert folder(tmp_path, root).values["test"] == 12 + 4


@pytest.mark.parametrize("name", ["cifar10_jpeg", "image_folder"])
def test_corrupt_images_are_named_counted_and_left_out(name: str, tmp_path: Path, root: Path) -> None:
    whole = (root / "train" / "dog" / "00.jpg").read_bytes()
    (root / "train" / "dog" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "train" / "dog" / "01.jpg").write_bytes(b"")
    (root / "test" / "emu" / "02.jpg").write_text("no image")
    (root / "test" / "emu" / "notes.txt").write_text("not even by name")
    artifact = torch_stages.data(tmp_path / "out", name, root, image_size=16)
    values = artifact.values
    assert values["corrupt"] == 3
    assert values["note"] == (
        f"3 of 36 files of data set {name} are no images that can be read and are left out: "
        "train/dog/00.jpg, train/dog/01.jpg, test/emu/02.jpg"
    )
    assert values["corrupt_names"] == ["train/dog/00.jpg", "train/dog/01.jpg", "test/emu/02.jpg"]
    assert values["train"] + values["validation"] == 24 - 2
    assert values["test"] == 12 - 1
    test = Prepared.load(artifact).test
    brightness = [test[:][test.labels == label].mean() for label in range(3)]
    assert brightness == sorted(brightness), "labels are still those of the images"


@pytest.mark.parametrize("name", ["cifar10_jpeg", "image_folder"])
def test_an_empty_class_is_a_failure_that_names_its_folder(name: str, tmp_path: Path, root: Path) -> None:
    for file in (root / "test" / "dog").iterdir():
        file.unlink()
    with pytest.raises(StageFailed, match=r"images/test/dog holds no image; expected files that end in .*\.jpg"):
        torch_stages.data(tmp_path / "out", name, root)


@pytest.mark.parametrize("name", ["cifar10_jpeg", "image_folder"])
def test_a_class_of_corrupt_images_is_a_failure(name: str, tmp_path: Path, root: Path) -> None:
    for file in (root / "test" / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.raises(StageFailed, match=r"none of the images in .*images/test/dog can be read"):
        torch_stages.data(tmp_path / "out", name, root)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test", "images/test has a folder for class 'fox', which .*images/train has not"),
        ("train", "images/test has no folder for class 'fox', which .*images/train has"),
    ],
)
def test_classes_that_differ_between_splits_are_a_failure(split: str, message: str, tmp_path: Path, root: Path) -> None:
    (root / split / "fox").mkdir()
    with pytest.raises(StageFailed, match=message):
        folder(tmp_path, root)


def test_a_folder_without_classes_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "images" / "train").mkdir(parents=True)
    with pytest.raises(StageFailed, match=r"train has no folders of classes; images are expected at .*/CLASS/NAME"):
        folder(tmp_path, tmp_path / "images")


def test_files_that_are_not_those_of_cifar10_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = data_sets.cifar10(tmp_path, monkeypatch)
    (root / "test_batch").write_bytes(b"damaged")
    with pytest.raises(StageFailed, match="are not those of CIFAR-10"):
        torch_stages.data(tmp_path / "out", "cifar10", root)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"])
def test_a_damaged_file_of_fashion_mnist_is_a_failure(name: str, tmp_path: Path) -> None:
    root = data_sets.fashion_mnist(tmp_path / "files")
    (root / name).write_bytes((root / name).read_bytes()[:-5])
    with pytest.raises(StageFailed, match=f"{name} is damaged"):
        torch_stages.data(tmp_path / "out", "fashion_mnist", root)


@pytest.mark.skipif(not FASHION_MNIST.exists(), reason=f"no {FASHION_MNIST} (Debian's package dataset-fashion-mnist)")
def test_all_of_fashion_mnist(tmp_path: Path) -> None:
    artifact = torch_stages.data(tmp_path, "fashion_mnist", FASHION_MNIST)
    assert [artifact.values[split] for split in SPLITS] == [48000, 12000, 10000]
    assert artifact.values["shape"] == [1, 28, 28]
    # As the literature gives them for all 60,000 training images.
    assert artifact.values["mean"] == pytest.approx([0.286], abs=2e-3)
    assert artifact.values["std"] == pytest.approx([0.353], abs=2e-3)


@pytest.mark.skipif(not CIFAR10_JPEG.exists(), reason=f"no CIFAR-10 as JPEG files at {CIFAR10_JPEG}")
def test_some_of_cifar10_down_to_a_trained_network(tmp_path: Path) -> None:
    with tarfile.open(CIFAR10_JPEG) as packed:
        some = [member for member in packed if member.name.endswith(("0.jpg", "3.jpg")) and "/0" in member.name]
        packed.extractall(tmp_path / "images", some, filter="data")
    artifact = torch_stages.data(tmp_path, "cifar10_jpeg", tmp_path / "images")
    assert (artifact.values["classes"], artifact.values["shape"]) == (10, [3, 32, 32])
    assert artifact.values["mean"] == pytest.approx([0.491, 0.482, 0.447], abs=0.02)
    trained = torch_stages.train(tmp_path, artifact, epochs=3)
    assert trained.values["validation_accuracy"] > 0.2


def test_a_network_trains_on_images_in_files_and_the_seed_decides_it(tmp_path: Path, root: Path) -> None:
    def weights(out: str, seed: int) -> dict[str, torch.Tensor]:
        recipe: dict[str, Any] = {"epochs": 15, "batch_size": 9, "seed": seed}
        trained = torch_stages.train(tmp_path / out, images, "tests.custom_plugins:branching", 0.5, **recipe)
        assert trained.values["validation_accuracy"] > 0.6
        state: dict[str, torch.Tensor] = torch.load(trained.path / "weights.pt", weights_only=True)
        return state

    images = folder(tmp_path, root)
    first, second, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_no_more_than_a_few_batches_of_a_folder_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BATCH_PIXELS", 1 << 17)  # batches of 8, in proportion to this few images
    root = data_sets.tree(tmp_path / "images", {"train": 120, "val": 20, "test": 20})
    size, count = 128, 3 * 160
    whole = count * 3 * size * size
    model = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(48, 3))
    tracemalloc.start()  # NumPy tells it of arrays
    try:
        artifact = torch_stages.data(tmp_path / "out", "image_folder", root, image_size=size)
        train = Prepared.load(artifact).train
        training.fit("train", model, train, training.Recipe(1, 8, 0.1, 0.0, 0))
        predictions.accuracy(model, train)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < whole / 2, f"{peak / 1e6:.1f} MB at most, the images are {whole / 1e6:.1f} MB"
