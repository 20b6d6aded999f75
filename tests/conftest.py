"""Fixtures that several test modules share."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from explorer.core.artifact import Artifact
from tests import ROOT, studies


@dataclass(frozen=True)
class Ran:
    """A finished study."""

    space: Path
    workspace: Path
    events: studies.Events


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A full grid of 24 configurations over two models, run once for all tests that only read it."""
    folder = tmp_path_factory.mktemp("grid")
    ran = Ran(studies.write_space(folder), folder / "workspace", studies.Events())
    studies.run(ran.space, ran.workspace, ran.events)
    return ran


@pytest.fixture(scope="session")
def documented(grid: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the pages' commands run in: bundled spaces, examples, and a workspace with the grid's stages.

    The quickstart there trains as the grid does, so that it finds its networks trained.
    """
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(grid.workspace, folder / "workspace")
    shutil.copytree(ROOT / "search_spaces", folder / "search_spaces")
    shutil.copytree(ROOT / "examples", folder / "examples")
    with (folder / "search_spaces" / "quickstart.toml").open("a") as file:
        file.write(studies.SHORT)
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The digits, as the data stage leaves them."""
    from tests import torch_stages  # most tests do without torch, which takes seconds to import

    return torch_stages.data(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, digits: Artifact) -> Artifact:
    """A narrow ResNet-18 that reads the digits."""
    from tests import torch_stages

    return torch_stages.train(tmp_path_factory.mktemp("trained"), digits, epochs=5)
