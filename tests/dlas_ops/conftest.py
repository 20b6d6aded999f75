"""Fixtures that several test modules of the kernels share."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.conftest import Once
from tests.dlas_ops.exported_networks import export

NETWORKS = ("resnet18", "mobilenetv2")


@pytest.fixture(scope="session")
def exported(once: Once) -> dict[str, onnx.ModelProto]:
    """Networks by torchvision for images of 32 x 32, exported once."""

    def made(folder: Path) -> Path:
        export(folder, 32, *NETWORKS)
        return folder

    folder = once.made("exported", made)
    return {name: onnx.load(folder / f"{name}.onnx") for name in NETWORKS}
