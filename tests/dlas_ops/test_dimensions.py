"""Convolutions over lines, maps and volumes, transposed ones too, compiled by every algorithm, against ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.shapes import SETTINGS

# Of the greatest output; int8 has one scale for 255 steps of each tensor.
TOLERANCES = {"float32": 1e-5, "float16": 1e-2, "int8": 0.06}
CHOICES = [
    *((algorithm, "dense", dtype) for algorithm in ("direct", "gemm", "spatial_pack") for dtype in TOLERANCES),
    ("winograd", "dense", "float32"), ("direct", "csr", "float32"), ("gemm", "csr", "float32"),
    ("spatial_pack", "csr", "float32"),
]  # fmt: skip


class Case(NamedTuple):
    """A network of one such layer, with a pointwise one of as many dimensions before it, and what to ask for."""

    transposed: bool
    sizes: tuple[int, ...]
    channels: tuple[int, int]
    groups: int
    attributes: dict[str, Any]
    choice: tuple[str, str, str]
    batch: int

    def network(self) -> onnx.ModelProto:
        inputs, outputs = self.channels
        split = (inputs, outputs // self.groups) if self.transposed else (outputs, inputs // self.groups)
        weights = {
            "a": networks.random((inputs, 4, *[1] * len(self.sizes)), 2),
            "w": networks.random((*split, *self.attributes["kernel_shape"]), 3), "b": networks.random((outputs,), 4),
        }  # fmt: skip
        operator = "ConvTranspose" if self.transposed else "Conv"
        nodes = [
            helper.make_node("Conv", ["x", "a"], ["c"]), helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node(operator, ["d", "w", "b"], ["e"], group=self.groups, **self.attributes),
            helper.make_node("Relu", ["e"], ["y"]),
        ]  # fmt: skip
        return networks.model(nodes, (self.batch, 4, *self.sizes), weights)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    transposed, rank = draw(st.booleans()), draw(st.sampled_from([1, 2, 3]))

    def each(*values: int) -> list[int]:
        return [draw(st.sampled_from(values)) for _ in range(rank)]

    attributes = {"kernel_shape": each(1, 2, 3, 4), "strides": each(1, 2, 3), "dilations": each(1, 1, 2)}
    reach = [(size - 1) * step for size, step in zip(attributes["kernel_shape"], attributes["dilations"], strict=True)]
    attributes["pads"] = [min(pad, most) for pad, most in zip(each(0, 1, 2) + each(0, 1), reach * 2, strict=True)]
    if transposed:
        attributes["output_padding"] = [draw(st.integers(0, step - 1)) for step in attributes["strides"]]
    groups = draw(st.sampled_from([1, 1, 1, 4, 16]))
    inputs = draw(st.sampled_from([16, 32, 20])) if groups == 1 else 16
    outputs = draw(st.sampled_from([3, 16, 32])) if groups == 1 else draw(st.sampled_from([16, 32]))
    sizes = tuple(draw(st.integers(7, 11)) for _ in range(rank))
    choice, batch = draw(st.sampled_from(CHOICES)), draw(st.sampled_from([1, 1, 2]))
    return Case(transposed, sizes, (inputs, outputs), groups, attributes, choice, batch)


@pytest.mark.parametrize("count", [6, pytest.param(150, marks=pytest.mark.nightly)])
def test_agrees_with_onnxruntime(count: int) -> None:
    @settings(SETTINGS, max_examples=count)
    @given(case=cases())
    def agrees(case: Case) -> None:
        network, (algorithm, format, dtype) = case.network(), case.choice
        data = networks.random((case.batch, 4, *case.sizes))
        compiled = dlas_ops.compile(
            network, networks.target(), algorithm=algorithm, format=format, dtype=dtype,
            calibration=data if dtype == "int8" else None,
        )  # fmt: skip
        expected = networks.run_onnxruntime(network, data)
        result = networks.run(compiled, data)
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() <= TOLERANCES[dtype] * max(1.0, np.abs(expected).max())
        layer = next(layer for layer in compiled.layers if layer.name == "w")
        assert (layer.input[1], layer.output, layer.dtype) == (case.channels[0], expected.shape, dtype)
        assert layer.stride == tuple(case.attributes["strides"])
        assert layer.conv.groups == case.groups

    agrees()


FLOPS = """
import json, sys, torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
networks = {
    "lines": (nn.Sequential(nn.Conv1d(4, 8, 5, 2, 2), nn.ReLU(), nn.Conv1d(8, 8, 3, groups=8), nn.MaxPool1d(2),
              nn.ConvTranspose1d(8, 6, 4, 3, 1, 1), nn.Flatten(), nn.LazyLinear(5)), (1, 4, 40)),
    "maps": (nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 6, 3, 2, 1, 1, groups=2), nn.ReLU(),
             nn.Conv2d(6, 12, 3, dilation=2, groups=3)), (1, 3, 16, 12)),
    "volumes": (nn.Sequential(nn.Conv3d(2, 8, 3, padding=1), nn.MaxPool3d(2), nn.ConvTranspose3d(8, 4, 2, 2),
                nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)), (1, 2, 6, 8, 10)),
}
counts = {}
for name, (network, shape) in networks.items():
    data = torch.randn(shape)
    network(data)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(data)
    counts[name] = counter.get_total_flops()
    torch.onnx.export(network, (data,), dynamo=True, verbose=False).save(f"{sys.argv[1]}/{name}.onnx")
print(json.dumps(counts))
"""


@pytest.mark.slow
def test_the_account_has_every_product_that_torch_counts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FLOPS, str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts = json.loads(told.strip().splitlines()[-1])
    for name, flops in counts.items():
        layers = dlas_ops.lower(onnx.load(tmp_path / f"{name}.onnx"), networks.target(), algorithm="direct").layers
        assert 2 * sum(layer.macs for layer in layers) == flops, name
