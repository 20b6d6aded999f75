"""Bundles of two small trained networks, which the tests share: float32 for one image, and int8 for three at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import explorer
from tests import studies
from tests.conftest import Once
from tests.explorer.bundles.rewritten import INT8

STRIPES = "tests.custom_plugins:stripes"  # 2 channels of 12 rows and 10 columns
AXES = {"dataset": STRIPES, "compression": "int8", "ratio": None, "batch": 3, "threads": 2}


@pytest.fixture(scope="session")
def striped(once: Once) -> Path:
    """A workspace with one trial, of the network in int8; its space lies beside it."""

    def run(folder: Path) -> Path:
        space = studies.write_space(folder, "striped", (studies.SMALL,), ("gemm",), 4, AXES)
        studies.run(space, folder / "workspace", studies.Events())
        return folder / "workspace"

    return once.made("striped", run)


@pytest.fixture(scope="session")
def bundles(once: Once, striped: Path, undisturbed: Path) -> Path:
    """A folder with the bundles ``float32`` and ``int8``, for tests that only read them."""

    def make(folder: Path) -> Path:
        explorer.bundle(0, folder / "float32", undisturbed / "workspace", space=undisturbed / "small.toml")
        explorer.bundle(0, folder / INT8, striped)
        return folder

    return once.made("bundles", make)


@pytest.fixture
def copied(bundles: Path, tmp_path: Path) -> Path:
    """The bundle ``int8``, in a folder of the test's own."""
    return Path(shutil.copytree(bundles / INT8, tmp_path / "bundle"))
