"""Names of torchvision networks and image size → their ONNX files, written by a process of its own that loads torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# torch must not come into the process that holds TVM.
EXPORT = """
import sys
import torch, torchvision
folder, size, *names = sys.argv[1:]
for name in names:
    torch.manual_seed(0)
    if name == "resnet18":
        model = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=10)
    elif name == "mobilenetv2":
        model = torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=10)
    elif name == "vgg16":
        features = torchvision.models.vgg16_bn().features
        model = torch.nn.Sequential(features, torch.nn.Flatten(), torch.nn.Linear(512 * (int(size) // 32) ** 2, 10))
    else:
        model = getattr(torchvision.models, name)(num_classes=10)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.onnx.export(
        model.eval(), (torch.randn(1, 3, int(size), int(size)),), dynamo=True, opset_version=20, verbose=False
    ).save(f"{folder}/{name}.onnx")
"""


def export(folder: Path, size: int, *names: str) -> None:
    """Write the networks for images of `size` x `size` into `folder`, with random weights and statistics."""
    subprocess.run([sys.executable, "-c", EXPORT, str(folder), str(size), *names], check=True, capture_output=True)
