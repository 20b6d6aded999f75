"""Whole networks, compiled with every algorithm, against ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

import dlas_ops
from tests.dlas_ops import small_networks as networks

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
# torch must not come into the process that holds TVM.
EXPORT = """
import sys
import torch, torchvision
name, size, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
if name == "resnet18":
    model = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=10)
elif name == "mobilenetv2":
    model = torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=10)
else:
    model = getattr(torchvision.models, name)(num_classes=10)
for module in model.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.running_mean.normal_(0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
torch.onnx.export(
    model.eval(), (torch.randn(1, 3, size, size),), dynamo=True, opset_version=20, verbose=False
).save(path)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, onnx.ModelProto]:
    folder: Path = tmp_path_factory.mktemp("exported")
    models = {}
    for name in ("resnet18", "mobilenetv2"):
        path = folder / f"{name}.onnx"
        subprocess.run([sys.executable, "-c", EXPORT, name, "32", str(path)], check=True, capture_output=True)
        models[name] = onnx.load(path)
    return models


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_agrees_with_onnxruntime(name: str, algorithm: str, exported: dict[str, onnx.ModelProto]) -> None:
    data = networks.random((1, 3, 32, 32))
    compiled = dlas_ops.compile(exported[name], networks.target(), algorithm=algorithm)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(exported[name], data))


@pytest.mark.slow
def test_keeps_one_layout_from_first_to_last_convolution(exported: dict[str, onnx.ModelProto]) -> None:
    for algorithm in ALGORITHMS:
        for model in exported.values():
            lowered = dlas_ops.lower(model, networks.target(), algorithm=algorithm)
            names = [variable.name_hint for variable in lowered.module.get_global_vars()]
            assert not [name for name in names if "pack" in name.replace("spatial_pack", "")]


@pytest.mark.slow
def test_one_kernel_per_layer(exported: dict[str, onnx.ModelProto]) -> None:
    """Activations, bounds, biases and residuals all run in the epilogue of a layer."""
    lowered = dlas_ops.lower(exported["resnet18"], networks.target(), algorithm="spatial_pack")
    calls = [
        binding.value.args[0].name_hint
        for block in lowered.module["main"].body.blocks
        for binding in block.bindings
        if getattr(getattr(binding.value, "op", None), "name", "") == "relax.call_tir"
    ]
    # A reshape becomes another view of the same memory when the module is built.
    assert len([name for name in calls if name != "reshape"]) == len(lowered.layers)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "size"), [("vgg11", 32), ("densenet121", 32), ("efficientnet_b0", 64), ("regnet_y_400mf", 64)]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_networks_agree_with_onnxruntime(name: str, size: int, algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    subprocess.run([sys.executable, "-c", EXPORT, name, str(size), str(path)], check=True, capture_output=True)
    model, data = onnx.load(path), networks.random((1, 3, size, size))
    compiled = dlas_ops.compile(model, networks.target(), algorithm=algorithm)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(model, data))
