"""Fixtures for the tests of worker processes."""

from __future__ import annotations

import pytest

from explorer.processes import child
from tests import forks


@pytest.fixture(autouse=True)
def _new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every process as a user's command does."""
    monkeypatch.setattr(child, "start", forks.START)
