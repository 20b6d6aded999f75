"""Small files in the layout of every data set that reads some: name → a folder like the one `sources` would find."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import pickle
import struct
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10

CIFAR = "cifar-10-batches-py"
COUNTS = {"train": 8, "test": 4}  # images per class


def photo(label: int, seed: int, width: int, height: int) -> Image.Image:
    """Return an image whose brightness tells its class, under noise."""
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    return Image.fromarray((noise + 60 * label).astype(np.uint8))


def tree(root: Path, counts: Mapping[str, int] = COUNTS, classes: tuple[str, ...] = ("cat", "dog", "emu")) -> Path:
    """Write ``root/split/class/NN.jpg`` of many sizes and return `root`."""
    for split, count in counts.items():
        for label, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                seed = zlib.crc32(f"{split} {name} {index}".encode())
                image = photo(label, seed, 32 + seed % 7, 36 + seed % 5)
                image.save(root / split / name / f"{index:02}.jpg", quality=95)
    return root


def tiff(value: float, dtype: str, photometric: int = 1, side: int = 16) -> Callable[[Path], object]:
    """Return a function that writes a grey TIFF of any type, uncompressed, `value` everywhere."""
    array = np.full((side, side), value, dtype)
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    tags = {256: side, 257: side, 258: 8 * array.itemsize, 259: 1, 262: photometric, 273: 8, 277: 1, 278: side}
    tags |= {279: array.nbytes, 339: kind}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 8 + array.nbytes)
    content = head + array.tobytes() + struct.pack("<H", len(tags)) + directory + bytes(4)
    return lambda path: path.write_bytes(content)


def cifar10(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write 10 images per file in CIFAR-10's layout, and have torchvision check for those; return its folder."""
    root = folder / CIFAR
    root.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"):
        pixels = random.integers(0, 256, (20, 3072), np.uint8)
        (root / name).write_bytes(pickle.dumps({"data": pixels, "labels": [*range(10)] * 2}))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {index}" for index in range(10)]}))
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in root.iterdir()}
    patch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in sorted(sums) if name.startswith("data")])
    patch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    patch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return root


@contextlib.contextmanager
def published(root: Path, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve CIFAR-10's folder as an archive over HTTP, packed into `folder`, and have torchvision download that."""
    archive = folder / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(root, CIFAR)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        patch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        patch.setattr(CIFAR10, "filename", archive.name)
        patch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
        try:
            yield
        finally:
            server.shutdown()


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return `array` as an IDX file."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def fashion_mnist(root: Path) -> Path:
    """Write 100 training and 50 test images of noise, and return `root`."""
    root.mkdir(parents=True)
    random = np.random.default_rng(0)
    for prefix, count in (("train", 100), ("t10k", 50)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = random.integers(0, 256, (count, 28, 28), np.uint8)
        (root / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (root / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return root


def small(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Return a folder below `folder` with small files for data set `name`; an empty one if it needs none."""
    match name:
        case "cifar10":
            return cifar10(folder, patch)
        case "fashion_mnist":
            return fashion_mnist(folder / name)
        case "cifar10_jpeg" | "image_folder":
            return tree(folder / name)
    return folder
