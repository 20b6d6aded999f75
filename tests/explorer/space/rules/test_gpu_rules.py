"""Stacks for GPUs: those that no GPU takes are left out of a space, and refused where it lists nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import SpaceError
from explorer.space import space
from tests import ROOT
from tests.explorer.spaces import VALID, render

GPU = '[gpu]\ntarget = { kind = "opencl", device = "pocl" }\n'
AXES = {"dataset": "digits", "model": "resnet18", "algorithm": "direct", "device": ["local", "gpu"]}


def written(folder: Path, **axes: Any) -> Path:
    (folder / "devices.toml").write_text(GPU)
    path = folder / "x.toml"
    path.write_text(render({**AXES, **axes}, (), "x"))
    return path


@pytest.mark.parametrize(
    ("axes", "left"),
    [
        ({"threads": [1, 2]}, {("local", 1), ("local", 2), ("gpu", 1)}),
        (
            {"tuning_trials": 8, "tuner": ["template", "generated"]},
            {(device, tuner) for device in ("local", "gpu") for tuner in ("template", "generated")},
        ),
        (
            {"format": ["dense", "csr"], "compression": "weight_pruning", "ratio": 0.5, "algorithm": "spatial_pack"},
            {("local", "dense"), ("local", "csr"), ("gpu", "dense")},
        ),
        (
            {"format": ["dense", "csr"], "compression": "weight_pruning", "ratio": 0.5},
            {("local", "dense"), ("local", "csr"), ("gpu", "dense"), ("gpu", "csr")},
        ),
        (
            {"compression": ["int8", "int8_mixed"]},
            {("local", "int8"), ("local", "int8_mixed"), ("gpu", "int8")},
        ),
        ({"threads": [1, 2], "device": ["local", "local+gpu"]}, {("local", 1), ("local", 2), ("local+gpu", 1)}),
    ],
)
def test_what_a_gpu_does_not_take_is_left_out(
    tmp_path: Path, axes: dict[str, Any], left: set[tuple[object, ...]]
) -> None:
    (axis,) = (name for name, choices in axes.items() if isinstance(choices, list) and name != "device")
    found = [(c.device, getattr(c, axis)) for c in space.load(written(tmp_path, **axes)).configurations()]
    assert set(found) == left
    assert len(found) == len(left)


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ({"threads": 2}, "is a GPU, whose networks take one thread of its processor; allowed: threads 1"),
        (
            {"format": "csr", "compression": "weight_pruning", "ratio": 0.5, "algorithm": "spatial_pack"},
            "is a GPU, where algorithm spatial_pack has no kernels for csr; allowed: format dense",
        ),
        (
            {"compression": "int8_mixed"},
            "is a GPU, and layers are timed on processors, which decides where int8_mixed has int8; allowed: "
            "compression int8",
        ),
    ],
)
def test_a_gpu_with_nothing_left_is_refused_with_the_reason(tmp_path: Path, axes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpaceError) as refused:
        space.load(written(tmp_path, **axes))
    assert str(refused.value).endswith(f"no valid configuration has device gpu: device gpu {reason}")


def test_devices_that_are_no_gpus_have_no_rules(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(render(VALID))
    assert space.load(path).constraints == ()


PAPER_DEVICES = """
[hikey970_cpu]
tracker = "10.0.0.1:9190"
target = { kind = "llvm", mtriple = "aarch64-linux-gnu", mcpu = "cortex-a73", num-cores = 4 }
[hikey970_gpu]
tracker = "10.0.0.1:9190"
key = "hikey970_cpu"
target = { kind = "opencl", device = "mali-bifrost", host = { kind = "llvm", mtriple = "aarch64-linux-gnu", mcpu = "cortex-a73" } }
[i7_cpu]
tracker = "10.0.0.1:9190"
target = { kind = "llvm", mcpu = "haswell", num-cores = 4 }
[xavier_gpu]
tracker = "10.0.0.1:9190"
target = { kind = "cuda", arch = "sm_72", host = { kind = "llvm", mtriple = "aarch64-linux-gnu", mcpu = "carmel" } }
"""  # noqa: E501


def test_the_papers_grid_runs_as_it_stands_with_entries_for_its_devices(tmp_path: Path) -> None:
    (tmp_path / "devices.toml").write_text(PAPER_DEVICES)
    (tmp_path / "images" / "train" / "a").mkdir(parents=True)
    text = (
        ROOT / "search_spaces" / "dlas_paper.toml"
    ).read_text() + f'\n[data]\nimage_folder = "{tmp_path / "images"}"\n'
    (tmp_path / "dlas_paper.toml").write_text(text)
    found = list(space.load(tmp_path / "dlas_paper.toml").configurations())
    assert {c.device for c in found} == {"hikey970_cpu", "hikey970_gpu", "i7_cpu", "xavier_gpu"}
    assert {(c.device, c.threads) for c in found} == {
        ("hikey970_cpu", 4), ("hikey970_gpu", 1), ("i7_cpu", 4), ("xavier_gpu", 1)
    }  # fmt: skip
    for gpu in ("hikey970_gpu", "xavier_gpu"):
        own = [c for c in found if c.device == gpu]
        assert {c.algorithm for c in own} == {"direct", "gemm", "spatial_pack"}
        assert {c.compression for c in own} == {"none", "weight_pruning", "channel_pruning", "float16", "int8"}
