"""Fixtures for the tests of worker processes."""

from __future__ import annotations

import pytest

from explorer.processes import pool
from tests.warm_workers import Worker


@pytest.fixture(autouse=True)
def _new_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test processes of its own."""
    monkeypatch.setattr(pool, "Worker", Worker)
