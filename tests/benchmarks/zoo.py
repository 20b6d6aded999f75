"""Name and input size of a benchmark network → its PyTorch model and its ONNX files: float32, pruned, quantised.

Networks are torchvision's, MobileNetV1 and what begins with "timm:" are timm's, and two are of this file: unet, and
conv1d, which takes signals of three channels. Weights are random from a fixed seed, and batch norms hold the statistics
of a few random inputs, so that activations neither vanish nor overflow. At 32x32 they are fitted to small images as is
usual for CIFAR, with 10 classes:

- resnet18: a 3x3 stem of stride 1 and no max-pool;
- mobilenetv1, mobilenetv2: stride 1 in the stem and in the second stage;
- vgg16: batch norms, the features pooled to 1x1, and one dense layer from 512 to the classes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# In the order in which a run takes them: name@input size in pixels.
NETWORKS = (
    "resnet18@32", "vgg16@32", "mobilenetv1@32", "mobilenetv2@32",
    "resnet50@224", "densenet161@224", "efficientnet_b0@224", "mobilenetv2@224",
)  # fmt: skip
# Those that people bring, on top.
BROUGHT = (
    "timm:vit_tiny_patch16_224@224", "timm:mixer_s32_224@224", "timm:mobilevit_xxs@256", "timm:edgenext_xx_small@256",
    "timm:efficientformer_l1@224", "timm:convnext_atto@224", "timm:poolformer_s12@224", "conv1d@1024", "unet@128",
)  # fmt: skip
SMALL = 64
CALIBRATION_IMAGES = 8


def size_of(spec: str) -> int:
    """Return the input size of "name@size" or "name@size:batch"."""
    return int(spec.partition("@")[2].partition(":")[0])


def batch_of(spec: str) -> int:
    """Return how many images "name@size:batch" takes at once; 1 where it does not say."""
    return int(spec.partition("@")[2].partition(":")[2] or 1)


def input_of(spec: str) -> tuple[int, ...]:
    """Return the shape of the input, (N, C, L) for a network of signals and (N, C, H, W) for one of images."""
    size = size_of(spec)
    return (batch_of(spec), 3, size) if spec.startswith("conv1d@") else (batch_of(spec), 3, size, size)


def network(spec: str) -> Any:
    """Return the PyTorch network "name@size" in inference mode; it takes any number of images.

    Raises
    ------
    KeyError
        If there is no network of that name.
    """
    import torch

    torch.manual_seed(0)
    name, size = spec.partition("@")[0], size_of(spec)
    source, _, of_source = name.partition(":")
    if source == "timm":
        import timm

        model = timm.create_model(of_source)
    else:
        model = _MAKE[name](size <= SMALL, 10 if size <= SMALL else 1000)
    _settle(model, (4, *input_of(spec)[1:]))
    return model.eval()


def export(spec: str, folder: Path, sparsities: frozenset[float]) -> None:
    """Write network.onnx and, per sparsity above 0, sparse-<sparsity>.onnx into `folder`.

    Pruning zeroes the weights of smallest magnitude of every convolution but the first, layer by layer.
    """
    import torch

    model, example = network(spec), (torch.randn(input_of(spec)),)
    for sparsity in sorted({0.0, *sparsities}):
        path = onnx_path(folder, sparsity)
        if sparsity:
            _prune(model, sparsity)
        torch.onnx.export(model, example, dynamo=True, opset_version=20, verbose=False).save(str(path))  # type: ignore[union-attr]


def export_pruned(spec: str, folder: Path) -> None:
    """Write network.onnx of the network without a third of its channels, those of the smallest weights."""
    import torch

    from explorer.compression import channel_pruning

    example = torch.randn(input_of(spec))
    model = channel_pruning.compress(network(spec), 1 / 3, example, lambda *_: None, channel_multiple=1, steps=1)
    program = torch.onnx.export(model, (example,), dynamo=True, opset_version=20, verbose=False)
    program.save(str(onnx_path(folder)))  # type: ignore[union-attr]


def quantise(folder: Path) -> None:
    """Write int8.onnx, the quantised network.onnx."""
    import onnx

    onnx.save(quantised(onnx.load(onnx_path(folder))), onnx_path(folder, dtype="int8"))


def quantised(model: Any) -> Any:
    """Return an ONNX model with statically quantised operators between Q and DQ pairs: U8S8, weights per channel.

    Activations are calibrated on a few random inputs, seeded.
    """
    import numpy as np
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.input}

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            generator = np.random.default_rng(0)
            self.left: Iterator[Any] = iter(
                {name: generator.standard_normal(shape, np.float32) for name, shape in inputs.items()}
                for _ in range(CALIBRATION_IMAGES)
            )

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, result = (Path(folder) / name for name in ("source.onnx", "prepared.onnx", "result.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared, result, Images(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(result)


def onnx_path(folder: Path, sparsity: float = 0.0, dtype: str = "float32") -> Path:
    """Return where the network with weights of `sparsity`, or quantised if `dtype` is int8, lies in `folder`."""
    if dtype == "int8":
        return folder / "int8.onnx"
    return folder / (f"sparse-{sparsity}.onnx" if sparsity else "network.onnx")


def _torchvision(name: str) -> Any:
    def make(small: bool, classes: int) -> Any:
        import torchvision

        return getattr(torchvision.models, name)(num_classes=classes)

    return make


def _resnet18(small: bool, classes: int) -> Any:
    import torch

    model = _torchvision("resnet18")(small, classes)
    if small:
        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model


def _vgg16(small: bool, classes: int) -> Any:
    import torch

    model = _torchvision("vgg16_bn")(small, classes)
    if small:
        model.avgpool = torch.nn.AdaptiveAvgPool2d(1)
        model.classifier = torch.nn.Linear(512, classes)
    return model


def _mobilenetv1(small: bool, classes: int) -> Any:
    import timm

    model = timm.create_model("mobilenetv1_100", num_classes=classes)
    if small:
        model.conv_stem.stride = model.blocks[1][0].conv_dw.stride = (1, 1)
    return model


def _mobilenetv2(small: bool, classes: int) -> Any:
    model = _torchvision("mobilenet_v2")(small, classes)
    if small:
        model.features[0][0].stride = model.features[2].conv[1][0].stride = (1, 1)
    return model


def _conv1d(small: bool, classes: int) -> Any:
    """Return a classifier of signals: six convolutions of rising width, every second one of stride 2."""
    from torch import nn

    layers: list[Any] = []
    for channels, outputs, stride in (
        (3, 64, 2),
        (64, 64, 1),
        (64, 128, 2),
        (128, 128, 1),
        (128, 256, 2),
        (256, 256, 1),
    ):
        layers += [nn.Conv1d(channels, outputs, 5, stride, 2, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(256, classes))


def _unet(small: bool, classes: int) -> Any:
    """Return a U-Net of three levels with ten outputs for each point, which transposed convolutions scale up."""
    import torch
    from torch import nn

    def twice(channels: int, outputs: int) -> Any:
        layers: list[Any] = []
        for inputs in (channels, outputs):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = twice(3, 32), twice(32, 64), twice(64, 128)
            self.up2, self.up1 = nn.ConvTranspose2d(128, 64, 2, 2), nn.ConvTranspose2d(64, 32, 4, 2, 1)
            self.back2, self.back1, self.last = twice(128, 64), twice(64, 32), nn.Conv2d(32, 10, 1)

        def forward(self, x: torch.Tensor) -> Any:
            first = self.first(x)
            second = self.second(nn.functional.max_pool2d(first, 2))
            third = self.third(nn.functional.max_pool2d(second, 2))
            second = self.back2(torch.cat([self.up2(third), second], 1))
            return self.last(self.back1(torch.cat([self.up1(second), first], 1)))

    return UNet()


_MAKE: dict[str, Any] = {
    "resnet18": _resnet18,
    "resnet50": _torchvision("resnet50"),
    "vgg16": _vgg16,
    "mobilenetv1": _mobilenetv1,
    "mobilenetv2": _mobilenetv2,
    "densenet161": _torchvision("densenet161"),
    "efficientnet_b0": _torchvision("efficientnet_b0"),
    "conv1d": _conv1d,
    "unet": _unet,
}


def _settle(model: Any, shape: tuple[int, ...]) -> None:
    """Give every batch norm the statistics of a few random inputs of a shape."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(torch.randn(shape))


def _prune(model: Any, sparsity: float) -> None:
    import torch
    from torch.nn.utils import prune

    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    for module in convolutions[1:]:
        prune.l1_unstructured(module, "weight", sparsity)  # type: ignore[no-untyped-call]
        prune.remove(module, "weight")  # type: ignore[no-untyped-call]
