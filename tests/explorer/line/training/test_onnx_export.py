"""An exported network: one file, named input and output, batch norms folded, and the outputs of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.core.errors import StageFailed
from explorer.line.training.onnx_export import attention, export
from tests.torch_stages import onnx_outputs


def test_a_model_becomes_one_file_that_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(16, 3)).train()
    images = torch.randn(6, 1, 4, 4)
    model(images)  # from now on the batch norm shifts and scales
    assert norm.running_mean is not None
    export(model, images[:1], tmp_path / "network.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    graph = onnx.load(tmp_path / "network.onnx").graph
    assert ([value.name for value in graph.input], [value.name for value in graph.output]) == (["image"], ["logits"])
    assert not {"BatchNormalization", "Dropout"} & {node.op_type for node in graph.node}
    with torch.no_grad():
        expected = model.eval()(images).numpy()
    np.testing.assert_allclose(onnx_outputs(tmp_path / "network.onnx", images.numpy()), expected, rtol=1e-4, atol=1e-5)


class Windows(nn.Module):
    """Attention within four windows of a grey 8x8 image: heads, then points, behind an axis of windows."""

    def __init__(self) -> None:
        super().__init__()
        self.apart, self.last = nn.Conv2d(1, 24, 1), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        planes = self.apart(images).reshape(-1, 3, 2, 4, 2, 4, 2, 4)
        query, key, value = planes.permute(1, 0, 4, 6, 2, 5, 7, 3).reshape(3, -1, 4, 2, 16, 4).unbind()
        seen = functional.scaled_dot_product_attention(query, key, value)
        return torch.as_tensor(self.last(seen.transpose(2, 3).flatten(3).mean((1, 2))))


def test_attention_over_windows_is_written_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, images = Windows(), torch.randn(4, 1, 8, 8)
    export(model, images[:1], tmp_path / "network.onnx")
    with torch.no_grad():
        expected = model(images).numpy()
    np.testing.assert_allclose(onnx_outputs(tmp_path / "network.onnx", images.numpy()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": torch.randn(5, 7)},
        {"attn_mask": torch.randn(2, 1, 5, 7) > -1},
        {"enable_gqa": True},
    ],
)
def test_attention_written_out_is_that_of_torch(more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    heads = 2 if "enable_gqa" in more else 6
    query, key, value = torch.randn(2, 6, 5, 8), torch.randn(2, heads, 7, 8), torch.randn(2, heads, 7, 3)
    expected = functional.scaled_dot_product_attention(query, key, value, **more)
    torch.testing.assert_close(attention(query, key, value, **more), expected)


def test_a_network_that_torch_cannot_export_keeps_its_error(tmp_path: Path) -> None:
    class Unfit(Windows):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) if images.sum() > 0 else images

    with pytest.raises(StageFailed, match="torch cannot export the network to ONNX: ") as failed:
        export(Unfit(), torch.ones(1, 1, 8, 8), tmp_path / "network.onnx")
    assert failed.value.failure.kind == "unsupported"
