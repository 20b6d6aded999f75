"""Measurements: each is kept for good, and tells a median with the others."""

from __future__ import annotations

from explorer.workspace.database.records import Records


def test_measurements_add_up_and_stay(records: Records) -> None:
    assert records.measurements.median("key", "local") is None
    records.measurements.add("key", "local", [1.0, 2.0, 3.0], {"state": {}})
    first = records.measurements.of("key", "local")
    records.measurements.add("key", "local", [4.0, 5.0], {"state": {}})
    records.measurements.add("key", "other", [100.0], {"state": {}})
    assert records.measurements.median("key", "local") == 3.0
    assert records.measurements.of("key", "local")[:1] == first
