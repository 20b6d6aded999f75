"""Lowered networks: layers as asked or a failure, and numerics that are equal where only the order of sums differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import tvm
from onnx import helper

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.account import Layer
from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.line.checking.first_wrong_layer import Placement
from explorer.line.stages.lower import numerics
from tests import torch_stages
from tests.conftest import Compress
from tests.dlas_ops.small_networks import conv_node, model, weights_of
from tests.explorer.digit_network import FIRST, SECOND, network

MIXED = Conv(8, 1, 6, 6, 4, (3, 3))
AVX512 = {"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2}


def lower(
    folder: Path,
    network: Artifact,
    algorithm: str,
    format: str = "dense",
    dtype: str = "float32",
    target: Mapping[str, Any] | None = None,
    **parents: Artifact,
) -> Artifact:
    choice = {"algorithm": algorithm, "format": format, "dtype": dtype, "target": target or native_target()}
    return torch_stages.execute("lower", folder / algorithm / format, choice, network=network, **parents)


def test_what_is_lowered_is_loaded_again_with_what_it_was_lowered_with(lowered: Artifact) -> None:
    made = dlas_ops.load(lowered.path)
    ran = {layer.name: layer.ran for layer in made.layers if layer.operator == "conv2d"}
    assert ran == {FIRST: "gemm/dense", SECOND: "gemm/dense"}
    assert lowered.values == {
        "convolutions": 2,
        "convolutions_as_asked": 2,
        "weight_bytes": sum(layer.stored_bytes for layer in made.layers),
        "numerics": {"dtype": "float32", "layers": {}},
    }
    assert Placement.load(lowered.path) == Placement("gemm", "dense", "float32", native_target())


def test_only_layers_that_an_algorithm_is_for_run_as_asked(small: Artifact, tmp_path: Path) -> None:
    values = lower(tmp_path, small, "winograd", target=AVX512).values
    assert (values["convolutions"], values["convolutions_as_asked"]) == (2, 1), "the second has stride 2"
    assert values["numerics"]["layers"].keys() == {FIRST}


def test_a_network_none_of_whose_layers_runs_as_asked_is_a_failure(tmp_path: Path) -> None:
    onnx.save(network(first_stride=2), tmp_path / "network.onnx")
    with pytest.raises(StageFailed) as failed:
        lower(tmp_path, Artifact("compress", "strided", tmp_path), "winograd")
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("lower", "not_applicable")
    assert str(failed.value) == (
        "no convolution can run as winograd in format dense: winograd is for stride 1 and dilation 1"
    )


def mixing(folder: Path) -> Artifact:
    """Return a network whose images are channels to its convolution, as ``compress`` leaves one behind."""
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]), conv_node(MIXED, ["t", "w"], "y")]
    onnx.save(model(nodes, (1, 8, 6, 6), {"w": weights_of(MIXED)}), folder / "network.onnx")
    return Artifact("compress", "mixing", folder)


@pytest.mark.parametrize("stage", ["lower", "plan"])
def test_a_network_that_mixes_images_takes_one_at_once(stage: str, tmp_path: Path) -> None:
    choice = {"format": "dense", "dtype": "float32", "target": native_target()}
    choice |= {"algorithm": "gemm"} if stage == "lower" else {}
    assert torch_stages.execute(stage, tmp_path / "one", choice, network=mixing(tmp_path))
    with pytest.raises(StageFailed) as failed:
        torch_stages.execute(stage, tmp_path / "two", {**choice, "batch": 2}, network=mixing(tmp_path))
    assert (failed.value.failure.stage, failed.value.failure.kind) == (stage, "not_applicable")
    assert "cannot take 2 images at once" in str(failed.value)


def test_a_selection_takes_the_place_of_the_algorithm(small: Artifact, tmp_path: Path) -> None:
    chosen = {FIRST: "direct/dense", SECOND: "spatial_pack/dense", "": "direct/dense"}
    selection = dlas_ops.Selection("auto/dense", chosen, {}, 1.0)
    (tmp_path / "selection.json").write_text(json.dumps(selection.to_json()))
    made = lower(tmp_path, small, "auto", select=Artifact("select", "s", tmp_path))
    ran = {layer.name: layer.ran for layer in dlas_ops.load(made.path).layers if layer.operator == "conv2d"}
    assert ran == {FIRST: "direct/dense", SECOND: "spatial_pack/dense"}
    assert Placement.load(made.path).algorithm == selection


def test_numerics_are_what_decides_more_than_the_order_of_sums() -> None:
    """Neither the algorithm nor what a layer is called by counts, but dtypes and where halves are multiplied."""
    plain = Layer("a", "dense", (1, 8), (8, 8), (1, 8), "direct/dense", "direct/dense")
    target = tvm.target.Target(AVX512)
    assert numerics([plain, replace(plain, ran="gemm/csr")], target) == {"dtype": "float32", "layers": {}}
    layers = [
        replace(plain, name="half", dtype="float16", arithmetic="float16, summed in float32"),
        replace(plain, name="wide", dtype="float16", arithmetic="float32"),
        plain,
    ]
    assert numerics(layers, target) == {"dtype": "float16", "layers": {"half": "float16", "wide": "float16, widened"}}
    pairs = replace(plain, name="pairs", dtype="bfloat16", arithmetic="bfloat16 (sums in float32)")
    widened = replace(pairs, arithmetic="float32 (the processor has none)")
    assert numerics([plain, pairs], target) == numerics([plain, widened], target)
    layers.append(replace(plain, name="eight", dtype="int8"))
    assert numerics(layers, target)["dtype"] == "int8"


def test_what_only_sums_in_another_order_shares_an_accuracy(small: Artifact, tmp_path: Path) -> None:
    choices = [("direct", "dense"), ("gemm", "dense"), ("spatial_pack", "dense"), ("direct", "csr"), ("gemm", "csr")]
    for algorithm, format in choices:
        values = lower(tmp_path, small, algorithm, format).values
        assert values["numerics"] == {"dtype": "float32", "layers": {}}


@pytest.mark.slow
def test_winograd_is_told_apart_by_layer_and_tile(compressed: Compress, tmp_path: Path) -> None:
    numerics = lower(tmp_path, compressed(), "winograd", target=AVX512).values["numerics"]
    assert numerics["dtype"] == "float32"
    layers = numerics["layers"]
    assert len(layers) > 5
    assert set(layers.values()) <= {"winograd F(2, 3)", "winograd F(4, 3)"}
