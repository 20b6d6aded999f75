"""Quantized networks: scales from drawn training images, and a reference of what their operators compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from explorer.core.artifact import Artifact
from explorer.core.settings import QuantizeSettings
from explorer.line.checking.reference import Reference
from explorer.line.prepared import Prepared
from tests import torch_stages


def quantize(folder: Path, digits: Artifact, small: Artifact, **settings: float) -> Artifact:
    parameters = QuantizeSettings(**settings).model_dump()  # type: ignore[arg-type]
    return torch_stages.execute("quantize", folder, parameters, data=digits, compress=small)


def test_the_reference_is_what_the_quantized_network_computes(
    digits: Artifact, small: Artifact, tmp_path: Path
) -> None:
    made = quantize(tmp_path, digits, small, images=32)
    assert made.values == {"calibration_images": 32}
    network = onnx.load(made.path / "network.onnx")
    assert "QuantizeLinear" in {node.op_type for node in network.graph.node}
    reference, whole = Reference.load(made.path), Reference.load(small.path)
    np.testing.assert_array_equal(reference.images, whole.images[:16])
    outputs = torch_stages.onnx_outputs(made.path / "network.onnx", reference.images, fused=False)
    assert reference.deviations(outputs).max() < 1e-5
    assert 0 < whole.deviations(reference.logits).max() < 0.1, "8 bits are close to float32, and not it"


def test_no_more_images_are_drawn_than_there_are(digits: Artifact, small: Artifact, tmp_path: Path) -> None:
    made = quantize(tmp_path, digits, small, images=10**6)
    assert made.values == {"calibration_images": len(Prepared.load(digits).train)}


def test_the_seed_decides_which_images(digits: Artifact, small: Artifact, tmp_path: Path) -> None:
    made = [quantize(tmp_path / f"{index}", digits, small, images=2, seed=seed) for index, seed in enumerate((0, 0, 1))]
    first, same, other = ((each.path / "network.onnx").read_bytes() for each in made)
    assert first == same != other
