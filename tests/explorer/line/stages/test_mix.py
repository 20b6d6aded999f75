"""Harms, the order that follows from them and from two profiles, and the network with the chosen layers quantized."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

import dlas_ops
from explorer.core.artifact import Artifact
from explorer.core.settings import QuantizeSettings
from explorer.line.checking.reference import Reference
from tests import torch_stages
from tests.conftest import Once


@pytest.fixture(scope="session")
def quantized(once: Once, digits: Artifact, small: Artifact) -> Artifact:
    settings = QuantizeSettings(images=16).model_dump()
    parents = {"data": digits, "compress": small}
    return once.made("quantized", lambda folder: torch_stages.execute("quantize", folder, settings, **parents))


@pytest.fixture(scope="session")
def harms(once: Once, digits: Artifact, small: Artifact, quantized: Artifact) -> Artifact:
    parents = {"data": digits, "compress": small, "quantize": quantized}
    return once.made("harms", lambda folder: torch_stages.execute("harm", folder, {"seed": 0}, **parents))


def test_every_layer_that_has_8_bits_has_a_harm(quantized: Artifact, harms: Artifact) -> None:
    layers = dlas_ops.quantized_layers(onnx.load(quantized.path / "network.onnx"))
    found = json.loads((harms.path / "harms.json").read_text())
    assert tuple(found) == layers
    assert harms.values == {"harmed": len(layers), "images": 16}
    assert all(0 < harm < 0.1 for harm in found.values())


def profile(folder: Path, times_us: Mapping[str, list[float]], quiet: list[int]) -> Artifact:
    """Return a profile that has a program for each layer, and a conversion, with the time of each sample."""
    folder.mkdir()
    calls = [{"layers": []}, *({"layers": [layer]} for layer in times_us)]
    samples = [[5.0, *(times[place] for times in times_us.values())] for place in range(3)]
    session = {"calls_us": samples, "quiet": quiet, "disturbed": ""}
    (folder / "profile.json").write_text(json.dumps({"calls": calls, "sessions": [session]}))
    return Artifact("profile", folder.name, folder)


def test_layers_are_ranked_by_their_harm_for_the_time_that_they_save(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    harms = {"a": 0.04, "b": 0.01, "c": 0.02, "shared_of_y": 0.001, "slow": 0.0001, "untimed": 0.5}
    (tmp_path / "h" / "harms.json").write_text(json.dumps(harms))
    exact = {"a": [10.0, 90.0, 12.0], "b": [3.0] * 3, "c": [9.0] * 3, "shared": [2.0] * 3, "slow": [1.0] * 3}
    exact |= {"untimed": [50.0] * 3}  # in 8 bits it has no program of its own, which is no time of 0
    narrow = {"a": [3.0] * 3, "b": [2.0] * 3, "c": [4.0] * 3, "shared_of_y": [1.0] * 3, "slow": [1.5] * 3}
    parents = {
        "harm": Artifact("harm", "h", tmp_path / "h"),
        "exact": profile(tmp_path / "exact", exact, quiet=[0, 2]),
        "quantized": profile(tmp_path / "narrow", narrow, quiet=[]),
    }
    ranked = torch_stages.execute("rank", tmp_path, {}, **parents)
    # Harm for a microsecond: a 0.04 / 8, b 0.01 / 1, c 0.02 / 5, the shared weights 0.001 / 1.
    assert ranked.values == {"order": ["shared_of_y", "c", "a", "b"], "slower": 2}
    rows = {row["layer"]: row for row in json.loads((ranked.path / "ranking.json").read_text())}
    assert rows["a"] == {"layer": "a", "harm": 0.04, "float32_us": 11.0, "int8_us": 3.0, "place": 2}
    assert rows["slow"]["place"] is None
    assert (rows["untimed"]["int8_us"], rows["untimed"]["place"]) == (None, None)


def test_the_reference_is_what_the_mixed_network_computes(
    digits: Artifact, small: Artifact, quantized: Artifact, tmp_path: Path
) -> None:
    layers = dlas_ops.quantized_layers(onnx.load(quantized.path / "network.onnx"))
    parents = {"data": digits, "compress": small, "quantize": quantized}
    made = torch_stages.execute("mix", tmp_path, {"layers": sorted(layers[:-1])}, **parents)
    assert made.values == {"quantized_layers": len(layers) - 1, "float_layers": 1}
    assert dlas_ops.quantized_layers(onnx.load(made.path / "network.onnx")) == layers[:-1]
    reference = Reference.load(made.path)
    outputs = torch_stages.onnx_outputs(made.path / "network.onnx", reference.images, fused=False)
    assert reference.deviations(outputs).max() < 1e-5
    exact = Reference.load(small.path)
    assert 0 < exact.deviations(reference.logits).max() < 0.1
    assert not np.array_equal(reference.logits, Reference.load(quantized.path).logits)
