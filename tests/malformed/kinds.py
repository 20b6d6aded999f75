"""A kind and a seed → one malformed input, written into a folder, and the command that takes it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.malformed import binaries, prepared, trees
from tests.studies import QUICK

SOUND = "sound"  # what a file that was not replaced is named


@dataclass
class Case:
    """One input.

    Parameters
    ----------
    about
        What is odd about it.
    command
        What the command line is given.
    hints
        Texts of which the sentence that refuses it has one; any will do if there are none.
    then
        What it is given afterwards where it accepts the first, to see that the input works; nothing where that showed.
    runs_on
        Whether the command that accepts it may go on for long: it trains, or serves a page.
    """

    about: str
    command: list[str]
    hints: list[str] = field(default_factory=list)
    then: list[str] = field(default_factory=list)
    runs_on: bool = False


AXES: dict[str, Any] = {
    "dataset": "digits",
    "model": ["mobilenetv2", "resnet18"],
    "width": 0.125,
    "algorithm": ["direct", "gemm"],
    "threads": [1, 2],
}
SHORT: dict[str, Any] = {
    "train": {"epochs": 1, "batch_size": 64},
    "compress": {"epochs": 1, "steps": 1},
    "measure": dict(QUICK),
}
# Spaces that have every table and form, and that a trial of takes seconds.
SPACES: tuple[dict[str, Any], ...] = (
    {"name": "a", "axes": AXES, "search": {"trials": 1, "sampler": "random", "seed": 0}, **SHORT},
    {
        "name": "b",
        "axes": {
            **AXES,
            "width": {"low": 0.125, "high": 0.25},
            "compression": ["none", "weight_pruning", "int8"],
            "ratio": {"low": 0.3, "high": 0.9, "step": 0.1},
        },
        "constraints": [
            {"when": {"model": "mobilenetv2"}, "require": {"threads": [1]}},
            {"forbid": {"ratio": {"low": 0.8, "high": 0.9}}},
        ],
        "objectives": {"accuracy": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"},
        "search": {
            "trials": 1,
            "sampler": "tpe",
            "limits": ["latency_ms <= 1000 on local", "accuracy >= 0.01"],
            "warm_start": True,
        },
        "quantize": {"images": 16, "percentile": 99.9, "seed": 0},
        **SHORT,
    },
    {
        "name": "c",
        "axes": {
            **AXES,
            "compression": "channel_pruning",
            "ratio": {"low": 0.3, "high": 0.9, "log": True},
            "channel_multiple": [4, 8],
            "batch": [1, 2],
            "device": "local",
        },
        "objectives": {"accuracy": "maximize", "latency_p90_ms": "minimize"},
        "data": {"validation": 0.2, "test": 0.25, "seed": 0, "normalise": "half", "augment": ["shift"], "folder": ""},
        "evaluate": {"images": 50, "seed": 0},
        **SHORT,
        "train": {
            "epochs": 1,
            "batch_size": 64,
            "learning_rate": 0.1,
            "weight_decay": 5e-4,
            "label_smoothing": 0.1,
            "seed": 0,
            "loss": "cross_entropy",
        },
        "compress": {
            "epochs": 1,
            "batch_size": 64,
            "learning_rate": 0.05,
            "weight_decay": 5e-4,
            "seed": 0,
            "norm": "l1",
        },
        "measure": {**QUICK, "tolerance": 1e-3, "narrow_tolerance": 0.2, "sessions": 1},
    },
    {
        "name": "d",
        "axes": {**AXES, "threads": {"low": 1, "high": 2}, "tuning_trials": [0, 4], "tuner": ["template"]},
        "search": {"sampler": "nsga2", "rungs": "tuning_trials", "reduction": 2, "trials": 1, "seed": 3},
        **SHORT,
    },
)
DEVICES: dict[str, Any] = {
    "local": {"tracker": "loopback", "target": "native", "cores": [0, 1], "description": "this machine"},
    "rpi4": {
        "tracker": "127.0.0.1:9",
        "key": "rpi4",
        "target": {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mattr": ["+neon"], "num-cores": 4},
    },
    "mali": {
        "tracker": "127.0.0.1:9",
        "target": {"kind": "opencl", "max_num_threads": 256, "host": {"kind": "llvm", "mtriple": "aarch64-linux-gnu"}},
        "emulated": True,
    },
}


def space(folder: Path, bases: Path, drawn: random.Random) -> Case:
    """Return a search space, of which one in eight that are accepted is run."""
    tree, changes = trees.changed(drawn.choice(SPACES), drawn, drawn.choice((1, 1, 1, 2, 3)))
    file = folder / "space.toml"
    hints = _write_toml(file, tree, drawn) or _hints(changes)
    run = ["run", str(file), "-w", str(folder / "w"), "--trials", "1"] if drawn.random() < 0.125 else []
    return Case(_about(changes), ["spaces", str(file), "--json"], hints, run, runs_on=True)


def devices(folder: Path, bases: Path, drawn: random.Random) -> Case:
    """Return a file of devices, beside a space that names them."""
    tree, changes = trees.changed(DEVICES, drawn, drawn.choice((1, 1, 2)))
    hints = _write_toml(folder / "devices.toml", tree, drawn) or _hints(changes)
    space_ = {**SPACES[0], "axes": {**AXES, "device": ["local", "rpi4"]}}
    (folder / "space.toml").write_text(trees.toml(space_))
    listed = ["devices", "--file", str(folder / "devices.toml"), *drawn.choice(([], ["--json"]))]
    of_space = ["run", str(folder / "space.toml"), "-w", str(folder / "w"), "--trials", "1"]
    return Case(_about(changes), listed, hints, of_space if drawn.random() < 0.125 else [], runs_on=True)


def checkpoint(folder: Path, bases: Path, drawn: random.Random) -> Case:
    """Return a file of weights, odd in what it holds or damaged, or both."""
    base = _one_of(bases / "checkpoints", drawn)
    content, about = base.read_bytes(), [base.name]
    if base.suffix == ".safetensors" and drawn.random() < 0.6:
        content = binaries.other_header(content, drawn)
        about.append("another header")
    elif content[:2] == b"PK" and drawn.random() < 0.5:
        content = drawn.choice((binaries.other_archive, binaries.other_pickle))(content, drawn)
        about.append("another archive")
    elif drawn.random() < 0.6:
        content = binaries.damaged(content, drawn)
        about.append("damaged")
    file = folder / f"given{drawn.choice((base.suffix, base.suffix, base.suffix, '.pt', '.safetensors', '.onnx', ''))}"
    file.write_bytes(content)
    command = [
        "weights",
        str(file),
        "--model",
        prepared.MODEL,
        "--width",
        str(prepared.WIDTH),
        "--classes",
        "10",
        "--shape",
        "1x8x8",
    ]
    return Case(", ".join(about), [*command, *drawn.choice(([], ["--json"]))], [file.name])


def network(folder: Path, bases: Path, drawn: random.Random) -> Case:
    """Return an ONNX file whose fields or bytes were changed."""
    import onnx

    base = _one_of(bases / "onnx", drawn, ".onnx")
    content, about = base.read_bytes(), [base.name]
    if drawn.random() < 0.7:
        model = onnx.load_from_string(content)
        binaries.other_message(model, drawn)
        content = model.SerializeToString()
        about.append("other fields")
    else:
        content = binaries.damaged(content, drawn)
        about.append("damaged")
    (folder / "given.onnx").write_bytes(content)
    if base.stem == "beside":
        beside = Path(f"{base}.data").read_bytes()
        (folder / f"{base.name}.data").write_bytes(binaries.damaged(beside, drawn) if drawn.random() < 0.5 else beside)
    axes = {"dataset": "digits", "model": "onnx:given.onnx", "algorithm": "direct"}
    command = _run(folder, {"name": "o", "axes": axes, "train": {"epochs": 0}, "measure": dict(QUICK)})
    return Case(", ".join(about), command, ["given.onnx"], runs_on=True)


def images(folder: Path, bases: Path, drawn: random.Random) -> Case:
    """Return a folder of images with odd files, names and folders."""
    root = folder / "images"
    shutil.copytree(bases / "images", root)
    about = []
    for _ in range(drawn.choice((1, 1, 2, 4))):
        with contextlib.suppress(OSError):  # an earlier change has left nothing to change there
            about.append(drawn.choice(LITTER)(root, drawn))
    axes = {"dataset": "image_folder", "model": "resnet18", "width": 0.125, "algorithm": "gemm"}
    data = {"image_folder": str(root), "image_size": 8}
    command = _run(folder, {"name": "i", "axes": axes, "data": data, **SHORT})
    return Case(", ".join(about), command, [str(root), "image_folder", "images"], runs_on=True)


def _litter_file(root: Path, drawn: random.Random) -> str:
    """Write, damage or replace a file."""
    files = [each for each in sorted(root.rglob("*")) if each.is_file() and not each.is_symlink()]
    file = drawn.choice(files) if files else root / "none.png"
    if drawn.random() < 0.5:
        name, content = drawn.choice(list(prepared.odd_images().items()))
        file.parent.mkdir(parents=True, exist_ok=True)  # which an earlier change may have taken away
        (file.parent / name).write_bytes(content)
        return f"{name} in {file.parent.name}"
    if file.exists():
        file.write_bytes(binaries.damaged(file.read_bytes(), drawn))
    return f"{file.name} damaged"


def _litter_folder(root: Path, drawn: random.Random) -> str:
    """Remove, rename, add or replace a folder."""
    folders = [root, *(each for each in sorted(root.rglob("*")) if each.is_dir() and not each.is_symlink())]
    folder = drawn.choice(folders)
    name = drawn.choice(
        ("x", "Train", "validation", "a" * 250, "ä 漢字", "[x]", "a\nb", ".hidden", "x.png", "CAT", " ", "-")
    )
    match drawn.randrange(6):
        case 0:
            shutil.rmtree(folder)
            return f"without {folder.name}"
        case 1 if folder != root:
            folder.rename(folder.with_name(name)) if not folder.with_name(name).exists() else None
            return f"{folder.name} named {name[:20]!r}"
        case 2 if folder != root:
            shutil.rmtree(folder)
            folder.write_bytes(b"a file")
            return f"a file in place of {folder.name}"
        case 3:
            shutil.rmtree(folder)
            folder.mkdir()
            return f"{folder.name} empty"
        case 4:
            deep = folder.joinpath(*["d"] * drawn.choice((2, 60, 900)))
            with_files = sorted(root.rglob("*.png"))
            os.makedirs(deep, exist_ok=True)
            if with_files:
                shutil.copy(with_files[0], deep / "z.png")
            return f"{len(deep.parts)} folders below {folder.name}"
        case _:
            (folder / name).mkdir(parents=True, exist_ok=True)
            return f"{name[:20]!r} in {folder.name}"


def _litter_entry(root: Path, drawn: random.Random) -> str:
    """Add what is neither a file nor a folder, or what cannot be reached."""
    folder = drawn.choice(
        [root, *(each for each in sorted(root.rglob("*")) if each.is_dir() and not each.is_symlink())]
    )
    target = folder / drawn.choice(("y.png", "y.jpg", "y", "z"))
    kind = drawn.choice(("pipe", "loop", "circle", "nowhere", "device", "socket", "bytes"))
    if not folder.is_dir() or target.exists() or target.is_symlink():
        return "nothing"
    match kind:
        case "pipe":
            os.mkfifo(target)
        case "loop":
            target.symlink_to(target.name)
        case "circle":
            target.symlink_to(root, target_is_directory=True)
        case "nowhere":
            target.symlink_to("/nowhere/at/all")
        case "device":
            target.symlink_to("/dev/zero")
        case "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as made:
                here = os.open(folder, os.O_PATH)
                made.bind(f"/proc/self/fd/{here}/{target.name}")
                os.close(here)
        case _:
            with open(os.fsencode(folder) + b"/\xff\xfe.png", "wb") as file:
                file.write(prepared.odd_images()["palette.png"])
    return f"{kind} in {folder.name}"


LITTER: tuple[Callable[[Path, random.Random], str], ...] = (_litter_file, _litter_file, _litter_folder, _litter_entry)


def _run(folder: Path, tree: dict[str, Any]) -> list[str]:
    (folder / "space.toml").write_text(trees.toml(tree))
    return ["run", str(folder / "space.toml"), "-w", str(folder / "w"), "--trials", "1"]


def _one_of(folder: Path, drawn: random.Random, ending: str = "") -> Path:
    """Return a file: as often as not the sound one."""
    files = sorted(each for each in folder.iterdir() if each.name.endswith(ending))
    sound = [each for each in files if each.stem == SOUND]
    return drawn.choice(sound if drawn.random() < 0.5 else files)


def _write_toml(file: Path, tree: dict[str, Any], drawn: random.Random) -> list[str]:
    """Write a file, now and then damaged: then the sentence that refuses it names the file, and it is returned."""
    file.write_text(trees.toml(tree), encoding="utf-8", errors="surrogatepass")
    if drawn.random() >= 0.08:
        return []
    file.write_bytes(binaries.damaged(file.read_bytes(), drawn))
    return [file.name]


def _about(changes: list[trees.Change]) -> str:
    return "; ".join(change.about for change in changes)


def _hints(changes: list[trees.Change]) -> list[str]:
    return [text for change in changes for text in change.hints if text]
