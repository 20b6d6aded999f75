"""What every data set must do; a new file in `explorer.datasets` is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from explorer.core import plugins
from explorer.datasets import SPLITS, Options, Splits, channel_sums, loader
from explorer.line import prepared
from explorer.line.training.augmentation import AUGMENTATIONS
from tests import data_sets


@pytest.mark.parametrize("name", plugins.names("dataset"))
class TestDataset:
    @pytest.fixture
    def load(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Splits]:
        root = data_sets.small(name, tmp_path, monkeypatch)
        load = loader(name)
        return lambda seed: load(Options(seed=seed, image_size=24, root=root))

    def test_splits_are_labelled_images_of_one_shape(self, name: str, load: Callable[[int], Splits]) -> None:
        splits = load(0)
        for images in (getattr(splits, split) for split in SPLITS):
            pixels = images.pixels(np.arange(len(images)))
            assert pixels.dtype == np.uint8
            assert pixels.shape == (len(images), *splits.train.shape)
            assert images.labels.dtype == np.int64
            assert images.labels.shape == (len(images),)
            assert set(np.unique(images.labels)) == set(range(len(splits.classes)))
            np.testing.assert_array_equal(images.sums(), channel_sums(pixels).sum(0))
            np.testing.assert_array_equal(images.part(np.array([2, 0])).pixels(np.array([1])), pixels[:1])
        if looks := plugins.literal("dataset", name, "LOOKS"):
            assert looks[1] == splits.train.shape

    def test_no_image_lies_in_two_splits(self, name: str, load: Callable[[int], Splits]) -> None:
        splits = load(0)
        images = [getattr(splits, split) for split in SPLITS]
        seen = [{image.tobytes() for image in each.pixels(np.arange(len(each)))} for each in images]
        assert not seen[0] & seen[1]
        assert not (seen[0] | seen[1]) & seen[2]

    def test_the_seed_decides_the_split(self, name: str, load: Callable[[int], Splits], tmp_path: Path) -> None:
        digests = []
        for index, seed in enumerate((1, 1, 2)):
            folder = tmp_path / f"{index}"
            folder.mkdir()
            digests.append(prepared.save(load(seed), folder)["digest"])
        assert digests[0] == digests[1] != digests[2]

    def test_its_augmentations_exist(self, name: str) -> None:
        assert set(plugins.literal("dataset", name, "AUGMENT")) <= set(AUGMENTATIONS)
