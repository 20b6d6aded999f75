"""Libraries that note times: every layer of the account is run by a call, and its weights are counted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

import dlas_ops
from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.line.stages import instrument
from tests import torch_stages

TARGET = {"target": native_target()}


def test_every_layer_is_in_one_call(ticking: Artifact, lowered: Artifact) -> None:
    calls = json.loads((ticking.path / instrument.CALLS).read_text())
    assert len(calls) == ticking.values["calls"]
    assert ticking.values["runs"] == instrument.RUNS
    run = [name for call in calls for name in call["layers"]]
    assert sorted(run) == sorted(layer.name for layer in dlas_ops.load(lowered.path).layers)


def test_weights_are_counted_and_so_are_those_that_are_not_zero(
    small: Artifact, lowered: Artifact, tmp_path: Path
) -> None:
    model = onnx.load(small.path / "network.onnx")
    layers = {layer.name for layer in dlas_ops.load(lowered.path).layers if layer.weight}
    pruned = next(tensor for tensor in model.graph.initializer if tensor.name in layers)
    array = numpy_helper.to_array(pruned).copy()
    array.flat[: array.size // 2] = 0.0
    pruned.CopyFrom(numpy_helper.from_array(array, pruned.name))
    onnx.save(model, tmp_path / "network.onnx")
    network: Artifact = Artifact("compress", "pruned", tmp_path)
    made = torch_stages.execute("instrument", tmp_path, TARGET, network=network, lower=lowered)
    weights = json.loads((made.path / instrument.WEIGHTS).read_text())
    assert set(weights) == layers
    reader = next(node for node in model.graph.node if pruned.name in node.input)
    nonzeros = array.size - array.size // 2
    assert weights[pruned.name] == {"size": array.size, "nonzeros": nonzeros, "tensor": reader.output[0]}


def test_what_an_earlier_version_lowered_is_refused(small: Artifact, lowered: Artifact, tmp_path: Path) -> None:
    shutil.copytree(lowered.path, tmp_path / "lowered")
    account = tmp_path / "lowered" / "layers.json"
    layers = json.loads(account.read_text())
    for layer in layers:
        del layer["program"], layer["call"]
    account.write_text(json.dumps(layers))
    earlier = replace(lowered, path=tmp_path / "lowered")
    with pytest.raises(StageFailed, match="an earlier version lowered the network") as failed:
        torch_stages.execute("instrument", tmp_path, TARGET, network=small, lower=earlier)
    assert failed.value.failure.kind == "unsupported"
