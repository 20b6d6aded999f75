"""An exported network: one file, named input and output, batch norms folded, and the outputs of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from explorer.line.training.onnx_export import export
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
