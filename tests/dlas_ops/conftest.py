"""Fixtures that several test modules of the kernels share."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.dlas_ops.exported_networks import export


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, onnx.ModelProto]:
    """Networks by torchvision for images of 32 x 32, exported once."""
    folder: Path = tmp_path_factory.mktemp("exported")
    models = {}
    for name in ("resnet18", "mobilenetv2"):
        path = folder / f"{name}.onnx"
        export(name, 32, path)
        models[name] = onnx.load(path)
    return models
