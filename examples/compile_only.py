"""Shows dlas_ops without a study: a network of torch → a compiled library, what runs in each layer, and its outputs.

python examples/compile_only.py
"""

import torch
import torchvision
import tvm

import dlas_ops
from dlas_ops.processor.targets import native_target

network = torchvision.models.squeezenet1_1().eval()
image = torch.randn(1, 3, 64, 64)
compiled = dlas_ops.compile(
    torch.export.export(network, (image,)),  # or an ONNX model, such as onnx.load("network.onnx")
    tvm.target.Target(native_target()),  # or {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}
    algorithm={"": "spatial_pack", "features.0.weight": "direct"},
)
for layer in compiled.layers:
    print(layer.name, layer.operator, layer.ran, layer.reason)

machine = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())
logits = machine["main"](tvm.runtime.tensor(image.numpy())).numpy()
compiled.library.export_library("network.tar")  # the device links it; "network.so" links it here

torch.testing.assert_close(torch.from_numpy(logits), network(image), rtol=1e-3, atol=1e-3)
print("the outputs are torch's")
