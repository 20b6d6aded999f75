"""A folder → what malformed inputs are made of: sound files of every kind, and odd ones that are sound in form."""

from __future__ import annotations

import io
import random
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests import large_study

MODEL, WIDTH, CLASSES = "resnet18", 0.125, 10


def write(folder: Path) -> None:
    """Write all of it; torch and others warn of what is odd."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _write(folder)


def _write(folder: Path) -> None:
    large_study.begin(folder / "w", 60)
    large_study.grow(folder / "w", range(60), sessions=1)
    _checkpoints(folder / "checkpoints")
    _networks(folder / "onnx")
    _images(folder / "images")


def _checkpoints(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from explorer.models import builder

    folder.mkdir()
    state = builder(MODEL)(WIDTH, CLASSES, (1, 8, 8)).state_dict()
    first = next(iter(state))
    named: dict[str, Any] = {
        "sound": state,
        "nested": {"model": {"state_dict": state}, "epoch": 3},
        "parallel": {f"module.{name}": each for name, each in state.items()},
        "nothing": {}, "a list": [1, 2], "a text": "x", "a number": 1.5, "a tensor": torch.zeros(3), "none": None,
        "keys that are numbers": dict(enumerate(state.values())),
        "values that are texts": dict.fromkeys(state, "x"),
        "half": {name: each.half() if each.is_floating_point() else each for name, each in state.items()},
        "double": {name: each.double() for name, each in state.items()},
        "whole numbers": {name: each.long() for name, each in state.items()},
        "complex": {name: each.to(torch.complex64) for name, each in state.items()},
        "boolean": {name: each.bool() for name, each in state.items()},
        "not numbers": {name: each * float("nan") for name, each in state.items()},
        "without sides": {name: torch.tensor(1.0) for name in state},
        "without elements": {name: torch.zeros(0) for name in state},
        "turned": {name: each.T if each.ndim == 2 else each for name, each in state.items()},
        "one less": {name: each for name, each in state.items() if name != first},
        "one more": {**state, "surplus.weight": torch.zeros(1)},
        "one other": {**state, first: torch.zeros(2, 3)},
        "sparse": {**state, first: torch.zeros(2, 3).to_sparse()},
        "quantized": {**state, first: torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)},
        "meta": {**state, first: torch.empty(10**9, device="meta")},
        "expanded": {**state, first: torch.zeros(1).expand(10**11)},
        "itself": _holding_itself(),
        "deep": _deep(150),
        "backwards": OrderedDict(reversed(state.items())),
        "long name": {"x" * 100_000: torch.zeros(1), **state},
        "odd names": {"[/x]\n\0": torch.zeros(1), **state},
    }  # fmt: skip
    for name, content in named.items():
        torch.save(content, folder / f"{name}.pt")
    torch.save(state, folder / "old format.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 2), folder / "a module.pt")
    np.savez(folder / "numpy.npz", a=np.zeros(3))
    save_file({name: each.contiguous() for name, each in state.items()}, folder / "sound.safetensors")


def _holding_itself() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["state_dict"] = made
    return made


def _deep(depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(depth):
        made = {"state_dict": made}
    return made


def _networks(folder: Path) -> None:
    import onnx

    from tests.explorer.line.adopting import files

    folder.mkdir()
    files.save(folder, name="sound.onnx")
    files.save(folder, files.network(opset=20), name="newer.onnx")
    files.save(folder, name="beside.onnx", beside=True)
    cyclic = files.network()
    cyclic.graph.node[0].input[0] = cyclic.graph.node[-1].output[0]
    onnx.save(cyclic, folder / "cyclic.onnx")
    long: list[files.Node] = [("Relu", ("x" if index == 0 else str(index - 1),), {}) for index in range(300)]
    files.save(folder, files.network([*long, *files.later(files.TAIL, 300)]), name="long.onnx")  # which ignores most


def _images(folder: Path) -> None:
    drawn = random.Random(0)
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for name in ("cat", "dog"):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = np.frombuffer(drawn.randbytes(10 * 12 * 3), np.uint8).reshape(10, 12, 3)
                image = Image.fromarray(pixels)
                image.save(place / (f"{index}.png" if index % 2 else f"{index}.jpg"))


def odd_images() -> dict[str, bytes]:
    """Return files that are images in form, and odd."""

    def png(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
        made = io.BytesIO()
        image.save(made, format_, **options)
        return made.getvalue()

    def resized(width: int, height: int) -> bytes:
        """Say another size in the head of a PNG than its pixels have, with its check sum as it should be."""
        import zlib

        content = png(Image.new("RGB", (8, 8)))
        head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + content[24:29]
        return content[:12] + head + zlib.crc32(head).to_bytes(4, "big") + content[33:]

    return {
        "point.png": png(Image.new("RGB", (1, 1))),
        "line.png": png(Image.new("L", (5000, 1))),
        "palette.png": png(Image.new("P", (9, 9))),
        "bits.png": png(Image.new("1", (9, 9))),
        "deep.png": png(Image.new("I;16", (9, 9))),
        "clear.png": png(Image.new("RGBA", (9, 9))),
        "printed.jpg": png(Image.new("CMYK", (9, 9)), "JPEG"),
        "floats.tiff": png(Image.new("F", (9, 9), 7.5), "TIFF"),
        "moving.gif": png(Image.new("P", (9, 9)), "GIF", save_all=True, append_images=[Image.new("P", (9, 9))]),
        "bomb.png": resized(60_000, 60_000),
        "endless.png": resized(2**31 - 1, 2**31 - 1),
        "nothing.png": resized(0, 0),
        "page.webp": png(Image.new("RGB", (9, 9)), "WEBP"),
        "drawing.svg": b"<svg/>",
        "empty.jpg": b"",
    }
