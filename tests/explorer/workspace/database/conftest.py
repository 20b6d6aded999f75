"""Fixtures of the tests of what is on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.workspace.database.records import Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """A database with nothing on record."""
    return Records(f"sqlite:///{tmp_path}/study.db")
