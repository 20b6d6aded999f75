"""The accuracy of the compiled network: as counted independently, shared by equal numerics, refused if outputs part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from dlas_ops.kernels.algorithms import gemm
from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.measurement.statistics import share_interval
from explorer.core.settings import EvaluateSettings, MeasureSettings, QuantizeSettings
from explorer.line.prepared import Prepared
from tests import studies, torch_stages
from tests.conftest import Once

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(once: Once, digits: Artifact, trained_small: Artifact) -> Artifact:
    return once.made("evaluated", lambda folder: compress(folder, digits, trained_small))


def compress(
    folder: Path,
    digits: Artifact,
    trained: Artifact,
    compression: str = "none",
    ratio: float | None = None,
    **settings: Any,
) -> Artifact:
    return torch_stages.compress(folder, digits, trained, compression, ratio, studies.SMALL, 1.0, **settings)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory, digits: Artifact, network: Artifact) -> Artifact:
    folder = tmp_path_factory.mktemp("quantized")
    return torch_stages.execute("quantize", folder, QuantizeSettings().model_dump(), data=digits, compress=network)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory, digits: Artifact, trained_small: Artifact) -> Artifact:
    return compress(tmp_path_factory.mktemp("pruned"), digits, trained_small, "weight_pruning", 0.9, epochs=0)


def built(folder: Path, network: Artifact, dtype: str = "float32", batch: int = 1) -> dict[str, Artifact]:
    """Return ``lower`` and ``build`` of the network, its convolutions by gemm."""
    target = native_target()
    choice = {"algorithm": "gemm", "format": "dense", "dtype": dtype, "target": target, "batch": batch}
    lower = torch_stages.execute("lower", folder, choice, network=network)
    return {"lower": lower, "build": torch_stages.execute("build", folder, {"target": target}, lower=lower)}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, network: Artifact) -> dict[str, Artifact]:
    """``lower`` and ``build`` of the network in float32."""
    return built(tmp_path_factory.mktemp("library"), network)


def evaluated(folder: Path, parents: Mapping[str, Artifact], dtype: str = "float32", images: int = 0) -> Artifact:
    tolerance = MeasureSettings().allowed(dtype)
    numerics = {"numerics": {"dtype": dtype, "layers": {}}, "tolerance": tolerance}
    settings = EvaluateSettings(images=images).model_dump()
    parents = {"network": parents["compress"], **parents}
    return torch_stages.execute("evaluate", folder, {**numerics, **settings}, **parents)


def test_the_accuracy_is_that_of_an_independent_runtime(
    digits: Artifact, network: Artifact, library: dict[str, Artifact], tmp_path: Path
) -> None:
    artifact = evaluated(tmp_path, {"data": digits, "compress": network, **library})

    splits = Prepared.load(digits)
    with np.load(artifact.path / "answers.npz") as answers:
        for split in ("validation", "test"):
            images = getattr(splits, split)[:]
            expected = torch_stages.onnx_outputs(network.path / "network.onnx", images).argmax(1)
            np.testing.assert_array_equal(answers[split], expected)
        hits = answers["validation"] == splits.validation.labels
        assert artifact.values["test_accuracy"] == (answers["test"] == splits.test.labels).mean()
    values = artifact.values
    assert values["accuracy"] == hits.mean() == network.values["torch_accuracy"]
    assert (values["accuracy_low"], values["accuracy_high"]) == share_interval(hits.sum(), 270)
    assert (values["validation_images"], values["test_images"], values["agreement"]) == (270, 450, 1.0)


@pytest.mark.parametrize("batch", [7, 100])
def test_the_answers_are_the_same_in_batches(
    batch: int, digits: Artifact, network: Artifact, library: dict[str, Artifact], tmp_path: Path
) -> None:
    parents = {"data": digits, "compress": network}
    several = built(tmp_path / "several", network, batch=batch)
    one, other = (evaluated(tmp_path / own["lower"].path.parent.name, {**parents, **own}) for own in (library, several))
    assert one.values == other.values
    with np.load(one.path / "answers.npz") as first, np.load(other.path / "answers.npz") as second:
        for split in ("validation", "test"):
            np.testing.assert_array_equal(first[split], second[split])


def test_a_part_of_the_images_is_enough_if_asked_for(
    digits: Artifact, network: Artifact, library: dict[str, Artifact], tmp_path: Path
) -> None:
    parents = {"data": digits, "compress": network, **library}
    whole, part = (evaluated(tmp_path / f"{images}", parents, images=images) for images in (0, 100))
    with np.load(whole.path / "answers.npz") as every, np.load(part.path / "answers.npz") as some:
        for split in ("validation", "test"):
            np.testing.assert_array_equal(some[split], every[split][some[f"{split}_images"]])
    assert (part.values["validation_images"], part.values["test_images"]) == (100, 100)
    widths = [own.values["accuracy_high"] - own.values["accuracy_low"] for own in (whole, part)]
    assert widths[1] > 1.2 * widths[0]


def test_torch_need_not_have_answered_more_than_is_evaluated(
    digits: Artifact, trained_small: Artifact, network: Artifact, library: dict[str, Artifact], tmp_path: Path
) -> None:
    part = compress(tmp_path, digits, trained_small, answered=100)
    assert part.values["torch_accuracy"] != network.values["torch_accuracy"]
    whole, same = (
        evaluated(tmp_path / name, {"data": digits, "compress": own, **library}, images=100)
        for name, own in (("whole", network), ("part", part))
    )
    assert whole.values == same.values
    assert same.values["accuracy"] == part.values["torch_accuracy"]


def test_another_networks_library_is_refused(
    digits: Artifact, network: Artifact, library: dict[str, Artifact], pruned: Artifact, tmp_path: Path
) -> None:
    mixed = {**built(tmp_path, pruned), "lower": library["lower"]}
    message = r"outputs differ from torch's by .* of their range; allowed: 0.001; compiled once more .* may be damaged"
    with pytest.raises(StageFailed, match=message) as failed:
        evaluated(tmp_path, {"data": digits, "compress": network, **mixed})
    assert failed.value.failure.kind == "wrong_output"


def test_classes_count_where_rounding_does_not_decide(
    digits: Artifact, network: Artifact, library: dict[str, Artifact], tmp_path: Path
) -> None:
    """Another answer than torch's is refused if torch's two best classes lie clearly apart."""
    with np.load(network.path / "answers.npz") as arrays:
        answers = dict(arrays)
    answers["test"][7] = (answers["test"][7] + 1) % 10
    for margin in (0.0, 1.0):
        answers["test_margins"][7] = margin
        compressed = Artifact("compress", "other", tmp_path / "other")
        compressed.path.mkdir(exist_ok=True)
        np.savez(compressed.path / "answers.npz", allow_pickle=False, **answers)
        parents = {"data": digits, "compress": compressed, "network": network, **library}
        if margin:
            message = (
                r"puts 1 of 720 images into another class than torch, beyond .*; allowed: 0.1%; compiled once more"
            )
            with pytest.raises(StageFailed, match=message):
                evaluated(tmp_path, parents)
        else:
            assert evaluated(tmp_path, parents).values["agreement"] == 719 / 720


@pytest.mark.parametrize(
    ("dtype", "batch"),
    [("float32", 3), *(pytest.param(other, 1, marks=pytest.mark.nightly) for other in ("float16", "int8"))],
)
def test_the_layer_of_a_wrong_kernel_is_named(
    dtype: str,
    batch: int,
    digits: Artifact,
    network: Artifact,
    quantized: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "down.0.weight"
    constants = onnx.load(network.path / "network.onnx").graph.initializer
    wrong = next(onnx.numpy_helper.to_array(constant) for constant in constants if constant.name == name)
    pack = gemm.pack

    def careless(weight: NDArray[Any], conv: Any, cpu: Any) -> Any:
        """Leave out the middle row of one layer's kernels, which in int8 have a scale for each channel."""
        if weight.shape == wrong.shape and np.corrcoef(weight.ravel(), wrong.ravel())[0, 1] > 0.8:
            weight = weight.copy()
            weight[:, :, 1, :] = 0
        return pack(weight, conv, cpu)

    own = quantized if dtype == "int8" else network
    parents = {"data": digits, "compress": network, "network": own}
    assert evaluated(tmp_path / "right", {**parents, **built(tmp_path / "right", own, dtype, batch)}, dtype)
    monkeypatch.setattr(gemm, "pack", careless)
    message = (
        rf"outputs differ from .*; allowed: .*; outputs part in layer '{name}' \(gemm/dense, {dtype}\), at its Conv"
    )
    with pytest.raises(StageFailed, match=message) as failed:
        evaluated(tmp_path, {**parents, **built(tmp_path, own, dtype, batch)}, dtype)
    assert failed.value.failure.kind == "wrong_output"
