"""One browser for all tests of the page, and a study to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from explorer.dashboard.state import Snapshot, Studies
from tests import chromium, large_study

ENDED = 60  # trials


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    if chromium.ABSENT:
        pytest.skip(chromium.ABSENT)
    with chromium.chromium() as driver:
        yield driver


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two studies that have begun, without a trial: ``large`` on two devices, and ``small``."""
    root = tmp_path_factory.mktemp("begun") / "w"
    large_study.begin(root, 100, ("local", "rpi4"))
    large_study.begin(root, 12, name="small")
    return root


@pytest.fixture(scope="session")
def workspace(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with `ENDED` trials of the one study and all of the other."""
    root = tmp_path_factory.mktemp("dashboard") / "w"
    shutil.copytree(begun, root)
    large_study.grow(root, range(12), "small")
    large_study.grow(root, range(ENDED), sessions=2)
    return root


@pytest.fixture
def growing(begun: Path, tmp_path: Path) -> Path:
    """A workspace of its own, whose studies have no trial yet; `large_study.grow` adds some."""
    return Path(shutil.copytree(begun, tmp_path / "w"))


@pytest.fixture(scope="session")
def address(workspace: Path) -> Iterator[str]:
    with chromium.served(workspace) as address:
        yield address


@pytest.fixture(scope="session")
def snapshot(workspace: Path) -> Snapshot:
    return Studies(workspace).snapshot("large")
