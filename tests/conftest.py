"""Fixtures that several test modules share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import studies


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
