"""A study over code of the user's own that changes all that it can of a process, beside files named like libraries."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.processes import child
from explorer.search import search
from explorer.search.search import Where
from explorer.space.space import load
from explorer.space.toml import space_file
from explorer.workspace.database.records import Record
from explorer.workspace.workspace import Workspace
from tests import forks
from tests.explorer import spaces
from tests.studies import QUICK, Events

NAMES = ("random", "statistics", "types", "tvm", "onnx", "json", "typing", "explorer", "sklearn")
RAYS = ("ray", "grpc", "psutil", "msgpack", "yaml", "packaging", "click", "filelock", "google", "setproctitle", "attr")

PLAIN = """
from torch import nn

def build(width, classes, shape):
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, classes),
    )

def same(model, ratio, example, fine_tune):
    fine_tune(model)
    return model
"""

WILD = """
import argparse, logging, os, signal, sys, threading, warnings
import numpy
import torch

options = argparse.ArgumentParser()
options.add_argument("--channels", type=int, default=16)
assert options.parse_args().channels == 16
print("printed", flush=True)
os.write(1, b'{"values": 1}\\n')
sys.stdout.write("no newline")
assert sys.stdin.read() == ""
threading.Thread(target=threading.Event().wait).start()
os.chdir("parts")
os.environ["OMP_NUM_THREADS"] = "7"
os.environ["WILD"] = "1"
os.environ.pop("HOME", None)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
warnings.simplefilter("error")
numpy.seterr(all="raise")
numpy.random.seed(3)
logging.basicConfig(level=logging.DEBUG, force=True)
torch.set_num_threads(3)
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.manual_seed(7)
torch.use_deterministic_algorithms(False)
torch.autograd.set_detect_anomaly(True)
torch.set_float32_matmul_precision("medium")
torch.backends.cudnn.benchmark = True

import plain

def build(width, classes, shape):
    assert os.environ["WILD"] == "1" and "HOME" not in os.environ
    assert open("size.txt").read() == "16", "the folder that the module went to"
    assert numpy.random.randint(1000) == 874, "as the module has seeded it, in every stage"
    network = plain.build(width, classes, shape)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    print("built")
    return network

def same(model, ratio, example, fine_tune):
    if any(layer.bias.abs().sum() for layer in model if isinstance(layer, torch.nn.BatchNorm2d)):
        open("trained.txt").read()
    return plain.same(model, ratio, example, fine_tune)
"""


@pytest.mark.parametrize(
    ("start", "where"),
    [
        pytest.param(forks.start, Where(jobs=1), id="forked", marks=pytest.mark.slow),
        pytest.param(forks.START, Where(jobs=1), id="local", marks=pytest.mark.nightly),
        pytest.param(forks.START, Where("ray"), id="ray", marks=pytest.mark.nightly),
    ],
)
def test_own_code_changes_neither_its_own_results_nor_those_of_others(
    start: Any, where: Where, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where.engine == "ray":
        pytest.importorskip("ray", reason="needs Ray: pip install 'dlas-explorer[ray]'")
        monkeypatch.setattr(sys, "argv", [str(tmp_path / "study.py")])  # a program of the user's own, beside the files
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "size.txt").write_text("16")
    (tmp_path / "parts" / "trained.txt").touch()
    for name in (*NAMES, *RAYS):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a file in the way')\n")
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "wild.py").write_text(WILD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "start", start)
    axes: Mapping[str, Any] = {
        "dataset": "digits",
        "model": ["wild:build", "plain:build"],
        "compression": ["none", "wild:same"],
        "ratio": 0.5,
    }
    short: Mapping[str, Any] = {"train": {"epochs": 1}, "compress": {"epochs": 1}, "measure": QUICK}
    path = tmp_path / "space.toml"
    path.write_text(spaces.render(axes, (), "own", search={"sampler": "grid"}, **short))
    events = Events()
    search.run(load(path, space_file.BUNDLED / space_file.DEVICES_FILE), Workspace(Path("workspace")), events, where)
    records = {}
    for number, outcome in events.outcomes.items():
        assert isinstance(outcome, Record), outcome
        found = events.configurations[number]
        records[found.model, found.compression] = outcome.values["torch_accuracy"], outcome.values["test_accuracy"]
    assert len(records) == 4
    assert len({records[model, "none"] for model in axes["model"]}) == 1
    assert len({found for (_, compression), found in records.items() if compression == "wild:same"}) == 1
    told = [note for note in events.notes if "[own] files" in note]
    unforeseen = f"read {tmp_path}/parts/trained.txt only now, so that no key has it: name it in [own] files"
    assert sorted(told) == [f"{model}, wild:same {unforeseen}" for model in sorted(axes["model"])]
