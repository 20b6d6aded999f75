"""Of the files that code reads, those of its own folder count."""

from __future__ import annotations

from pathlib import Path

from explorer.core.files import reads


def test_what_python_looks_through_for_packages_does_not_count(tmp_path: Path) -> None:
    for name in ("table.csv", "nets.egg-info/entry_points.txt", "nets-1.0.dist-info/METADATA", "sub/table.csv"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        assert reads.counts(file, tmp_path, []) == ("-info" not in name)
    assert not reads.counts(tmp_path / "sub" / "table.csv", tmp_path, [tmp_path / "sub"])
    assert not reads.counts(tmp_path / "missing.csv", tmp_path, [])
