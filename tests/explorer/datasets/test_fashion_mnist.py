"""Fashion-MNIST: all of it where it is installed, and damaged files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from explorer.core.errors import StageFailed
from explorer.datasets import SPLITS, Options
from explorer.datasets.fashion_mnist import load, read_idx
from tests import data_sets, torch_stages

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


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


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_packed_or_not(packed: bool, tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = data_sets.idx(array)
    (tmp_path / ("name.gz" if packed else "name")).write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_idx(tmp_path, "name"), array)


def test_a_file_of_other_numbers_than_bytes_is_damaged(tmp_path: Path) -> None:
    content = bytearray(data_sets.idx(np.zeros((2, 2), np.uint8)))
    content[2] = 0x0D  # 32-bit floats
    (tmp_path / "name").write_bytes(content)
    with pytest.raises(StageFailed, match="name is damaged: no IDX file of bytes"):
        read_idx(tmp_path, "name")


def test_as_many_labels_as_images_are_needed(tmp_path: Path) -> None:
    root = data_sets.fashion_mnist(tmp_path / "files")
    (root / "t10k-labels-idx1-ubyte").write_bytes(data_sets.idx(np.zeros(49, np.uint8)))
    with pytest.raises(StageFailed, match="has 50 t10k images and 49 labels"):
        load(Options(root=root))
