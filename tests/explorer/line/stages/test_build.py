"""Libraries: their size as they lie in memory, their account of layers, and tuned schedules in place of the rules'."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import tvm

import dlas_ops
from dlas_ops.processor.targets import native_target
from dlas_ops.tuning import task_extraction, tuners
from explorer.core.artifact import Artifact
from explorer.line.checking.reference import Reference
from tests import torch_stages
from tests.dlas_ops.small_networks import run_library


def test_the_size_is_that_of_what_the_archive_holds(built: Artifact, lowered: Artifact) -> None:
    with tarfile.open(built.path / "network.tar") as archive:
        sizes = [member.size for member in archive.getmembers()]
    assert built.values["size_bytes"] == sum(sizes) > lowered.values["weight_bytes"]


def test_what_it_holds_at_work_is_more_than_its_weights(built: Artifact, lowered: Artifact) -> None:
    assert built.values["memory_bytes"] > lowered.values["weight_bytes"]


def test_the_account_has_a_line_for_every_layer(built: Artifact, lowered: Artifact) -> None:
    layers = json.loads((built.path / "layers.json").read_text())
    assert layers == json.loads(json.dumps([layer.to_json() for layer in dlas_ops.load(lowered.path).layers]))
    assert {layer["asked"] for layer in layers if layer["operator"] == "conv2d"} == {"gemm/dense"}


def test_the_account_says_which_layers_had_no_room_in_shared_memory(small: Artifact, tmp_path: Path) -> None:
    gpu = {"kind": "opencl", "device": "adreno", "max_shared_memory_per_block": 64, "host": native_target()}
    choice = {"algorithm": "spatial_pack", "format": "dense", "dtype": "float32", "target": gpu}
    lowered = torch_stages.execute("lower", tmp_path / "lower", choice, network=small)
    built = torch_stages.execute("build", tmp_path / "build", {"target": gpu}, lower=lowered)
    layers = json.loads((built.path / "layers.json").read_text())
    notes = [layer["note"] for layer in layers if layer["ran"] == "spatial_pack/dense"]
    assert notes
    assert all("shared memory, and the GPU has 64" in note for note in notes)


def test_tuned_schedules_are_built_and_compute_the_same(lowered: Artifact, small: Artifact, tmp_path: Path) -> None:
    target = tvm.target.Target(native_target())
    task = task_extraction.tasks(dlas_ops.load(lowered.path), "template", target)[0]
    [decision] = tuners.load("template").search(task.function, target, 1).propose(1)
    program = task_extraction.scheduled_by(task.function, target, "template", decision)
    name = task.names[0]
    scheduled = tvm.IRModule({name: program.with_attr("global_symbol", name)})
    (tmp_path / "scheduled.json").write_text(tvm.ir.save_json(scheduled))
    tuned: Artifact = Artifact("tune", "t", tmp_path)
    made = torch_stages.execute("build", tmp_path, {"target": native_target()}, lower=lowered, tune=tuned)
    library = tvm.runtime.load_module(str(made.path / "network.tar"))
    reference = Reference.load(small.path)
    outputs = np.concatenate([run_library(library, image[np.newaxis]) for image in reference.images[:4]])
    assert reference.deviations(outputs).max() < 1e-4
