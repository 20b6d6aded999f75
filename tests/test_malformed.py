"""Malformed inputs of every kind: each is accepted and works, or is refused in one sentence that has the value."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.malformed import FAULTS, KINDS, measure

PATIENT = 60.0  # seconds for a command, beside which other tests run


def faults(kinds: list[str], count: int, folder: Path) -> list[str]:
    """Return the first failing case of each kind and fault."""
    asked = [(kind, index) for index in range(-(-count // len(kinds))) for kind in kinds][:count]
    rows = measure(asked, seed=1, processes=2, folder=folder, seconds=PATIENT)
    assert sum(row["tried"] for row in rows) == count
    assert all(row["refused"] for row in rows), "some of each kind are malformed beyond use"
    return [row[f"first_{name}"] for row in rows for name in FAULTS if row[f"first_{name}"]]


@pytest.mark.slow
def test_spaces_devices_and_checkpoints_work_or_are_refused(tmp_path: Path) -> None:
    assert not faults(["space", "devices", "checkpoint"], 30, tmp_path)


@pytest.mark.nightly
def test_inputs_of_every_kind_work_or_are_refused(tmp_path: Path) -> None:
    assert not faults(list(KINDS), 500, tmp_path)
