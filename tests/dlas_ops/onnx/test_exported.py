"""Networks as torch exports them, against torch itself; in a process of their own, because torch and TVM share none."""

from __future__ import annotations

import subprocess
import sys

import pytest
from onnx import helper

import dlas_ops
from tests.dlas_ops import small_networks as networks

SCRIPT = """
import torch, torchvision
import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.processor.targets import native_target

torch.manual_seed(0)
network = torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=10).eval()
for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.running_mean.normal_(0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
        module.weight.data.uniform_(0.5, 1.5)
image = torch.randn(2, 3, 32, 32)
program = torch.export.export(network, (image,))
expected = network(image).detach()
scale = float(expected.abs().max())
compiled = dlas_ops.compile(program, tvm.target.Target(native_target()), algorithm="direct")
machine = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())
actual = machine["main"](tvm.runtime.tensor(image.numpy())).numpy()
error = float((torch.from_numpy(actual) - expected).abs().max())
assert error < 1e-4 * scale, (error, scale)
names = [layer.name for layer in compiled.layers if layer.weight]
assert names == [name for name, array in network.named_parameters() if array.ndim in (2, 4)], names
print(scale)
"""


@pytest.mark.nightly  # a small network is taken from torch every time: the example that compiles only
def test_agrees_with_torch() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 1e-3, "outputs this small would agree with anything"


def test_refuses_what_is_no_model() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = networks.model([node], (1, 3, 4, 4), {}).graph
    with pytest.raises(TypeError, match="ExportedProgram"):
        dlas_ops.lower(graph, networks.target(), algorithm="direct")
