"""The importer's check as a user's training starts it: a process of its own, whatever lies in the user's folder."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from explorer.line.training import checks
from explorer.line.training.onnx_export import export
from tests import forks


def test_an_import_is_a_process_that_no_file_is_in_the_way_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(nn.Linear(3, 2), torch.zeros(1, 3), tmp_path / "network.onnx")
    network = onnx.load(tmp_path / "network.onnx")
    network.graph.node[0].op_type = "LSTM"
    onnx.save(network, tmp_path / "refused.onnx")
    for name in ("onnx", "json", "tvm"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('in the way')\n")
    monkeypatch.chdir(tmp_path)
    refused = checks.imported(tmp_path / "refused.onnx")
    assert json.loads(refused.stdout)["operator"] == "LSTM"
    forked = forks.imported(tmp_path / "refused.onnx")
    assert (forked.returncode, forked.stdout) == (refused.returncode, refused.stdout), "as the other tests import"
    assert forks.imported(tmp_path / "network.onnx").stdout == "null\n"
