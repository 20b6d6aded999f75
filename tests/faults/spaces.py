"""The two small spaces that faults strike, and a workspace in which a study of one begins at a given stage."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

# Each stage behind those whose artifacts it takes; the store's other folders go with their stage.
LINE = (
    "data", "train", "compress", "quantize", "plan", "candidates", "select", "lower", "tune", "build", "confirm",
    "control", "evaluate", "measure",
)  # fmt: skip
SHARED = {"tune": ("tuning",)}

HEAD = """
[objectives]
accuracy = "maximize"
latency_ms = "minimize"
[search]
sampler = "grid"
[train]
epochs = 1
[compress]
epochs = 1
[measure]
samples = 10
sample_ms = 0.5
warmup_ms = 0.5
most_sessions = 2
extra_time = 0.0
[axes]
dataset = "digits"
model = "tests.custom_plugins:small"
width = 0.25
threads = 1
device = "DEVICE"
"""
SPACES: Mapping[str, str] = {
    "plain": HEAD + 'compression = ["none", "int8"]\nalgorithm = "gemm"\n',
    "chosen": HEAD
    + 'compression = "none"\nalgorithm = ["auto", "gemm"]\ntuning_trials = [0, 14]\ntuner = "template"\n'
    + '[[constraints]]\nwhen = { algorithm = "auto" }\nrequire = { tuning_trials = 0 }\n'
    + '[[constraints]]\nwhen = { algorithm = "gemm" }\nrequire = { tuning_trials = 14 }\n',
}
STAGES: Mapping[str, Sequence[str]] = {
    "plain": ("data", "train", "compress", "quantize", "lower", "build", "control", "evaluate", "measure"),
    "chosen": ("plan", "candidates", "select", "tune", "confirm"),
}


def write(folder: Path, name: str, device: str = "local") -> Path:
    """Write the space into `folder`; return its file."""
    path = folder / f"{name}.toml"
    path.write_text(f'name = "{name}"\n' + SPACES[name].replace("DEVICE", device))
    return path


def before(stage: str, workspace: Path, into: Path) -> None:
    """Copy into a new workspace the artifacts of a finished one that lie before `stage` on the line."""
    for own in LINE[: LINE.index(stage)]:
        for folder in (own, *SHARED.get(own, ())):
            if (workspace / "artifacts" / folder).exists():
                shutil.copytree(workspace / "artifacts" / folder, into / "artifacts" / folder)
