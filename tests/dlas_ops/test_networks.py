"""Whole networks, compiled with every algorithm, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import dlas_ops
from dlas_ops.onnx.batching import with_batch
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.conftest import NETWORKS
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.exported_networks import export

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
# What every run of the tests compiles; `spatial_pack` it has of ResNet-18 in float16.
AGREEING = [("gemm", "resnet18"), ("winograd", "resnet18"), ("direct", "mobilenetv2")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        pytest.param(algorithm, name, marks=() if (algorithm, name) in AGREEING else pytest.mark.nightly)
        for algorithm in ALGORITHMS
        for name in NETWORKS
    ],
)
def test_agrees_with_onnxruntime(name: str, algorithm: str, exported: dict[str, onnx.ModelProto]) -> None:
    data = networks.random((1, 3, 32, 32))
    compiled = dlas_ops.compile(exported[name], networks.target(), algorithm=algorithm)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(exported[name], data))


BATCHED = [
    ("mobilenetv2", "spatial_pack", "dense", "float16"),
    pytest.param("resnet18", "winograd", "dense", "float32", marks=pytest.mark.nightly),
    *(
        pytest.param(name, algorithm, format, dtype, marks=pytest.mark.nightly)
        for name in ("resnet18", "mobilenetv2")
        for algorithm, format, dtype in (
            ("direct", "dense", "float32"), ("gemm", "dense", "float32"), ("spatial_pack", "dense", "float32"),
            ("direct", "csr", "float32"), ("gemm", "csr", "float32"), ("spatial_pack", "csr", "float32"),
            ("direct", "dense", "float16"), ("gemm", "dense", "float16"), ("auto", "dense", "float32"),
        )
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "algorithm", "format", "dtype"), BATCHED)
def test_several_images_are_each_computed_as_alone(
    name: str, algorithm: str, format: str, dtype: str, exported: dict[str, onnx.ModelProto]
) -> None:
    data = networks.random((3, 3, 32, 32))
    alone, together = (
        dlas_ops.compile(
            with_batch(exported[name], batch), networks.target(), algorithm=algorithm, format=format, dtype=dtype
        )
        for batch in (1, 3)
    )
    expected = np.concatenate([networks.run(alone, image[None]) for image in data])
    networks.assert_close(networks.run(together, data), expected, 0.02 if dtype == "float16" else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "name"), crossed(ALGORITHMS, NETWORKS))
def test_keeps_one_layout_from_first_to_last_convolution(
    algorithm: str, name: str, exported: dict[str, onnx.ModelProto]
) -> None:
    lowered = dlas_ops.lower(exported[name], networks.target(), algorithm=algorithm)
    names = [variable.name_hint for variable in lowered.module.get_global_vars()]
    assert not [each for each in names if "pack" in each.replace("spatial_pack", "")]


@pytest.mark.slow
def test_one_kernel_per_layer(exported: dict[str, onnx.ModelProto]) -> None:
    """Activations, bounds, biases and residuals all run in the epilogue of a layer."""
    lowered = dlas_ops.lower(exported["resnet18"], networks.target(), algorithm="spatial_pack")
    calls = networks.calls(lowered.module)
    # A reshape becomes another view of the same memory when the module is built.
    assert len([name for name in calls if name != "reshape"]) == len(lowered.layers)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "size"), [("vgg11", 32), ("densenet121", 32), ("efficientnet_b0", 64), ("regnet_y_400mf", 64)]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_networks_agree_with_onnxruntime(name: str, size: int, algorithm: str, tmp_path: Path) -> None:
    export(tmp_path, size, name)
    model, data = onnx.load(tmp_path / f"{name}.onnx"), networks.random((1, 3, size, size))
    compiled = dlas_ops.compile(model, networks.target(), algorithm=algorithm)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(model, data))
