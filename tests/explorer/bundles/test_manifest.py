from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from explorer.bundles import manifest as files
from explorer.bundles.manifest import Manifest
from explorer.core.errors import ExplorerError
from tests import ROOT, documents
from tests.explorer.bundles.rewritten import rewritten

pytestmark = pytest.mark.slow  # two studies, which other tests share, come first


def test_one_changed_byte_in_any_file_is_found(copied: Path) -> None:
    known = files.read(copied)
    for name in (*known.files, files.MANIFEST):
        content = (copied / name).read_bytes()
        for place in {0, len(content) // 2, len(content) - 2}:
            changed = bytearray(content)
            changed[place] ^= 1
            (copied / name).write_bytes(changed)
            with pytest.raises(ExplorerError, match=re.escape(f"{copied / name} is not what was written")):
                files.read(copied)
        (copied / name).write_bytes(content)
    assert files.read(copied) == known


def test_what_is_missing_is_named(copied: Path, tmp_path: Path) -> None:
    (copied / files.PIXELS).unlink()
    with pytest.raises(ExplorerError, match=re.escape(f"{copied / files.PIXELS} is missing")):
        files.read(copied)
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ExplorerError, match=re.escape(f"no bundle in '{folder}': it lacks manifest.json")):
            files.read(folder)


def test_a_later_format_is_no_damage(copied: Path) -> None:
    rewritten(copied, format=files.FORMAT + 1)
    with pytest.raises(ExplorerError, match="has format 2, and this explorer reads format 1"):
        files.read(copied)


def test_a_manifest_without_a_part_is_not_what_was_written(copied: Path) -> None:
    content = json.loads((copied / files.MANIFEST).read_text())
    for name in ("digest", "latency"):
        lacking = {key: value for key, value in content.items() if key != name}
        (copied / files.MANIFEST).write_text(json.dumps(lacking))
        with pytest.raises(ExplorerError, match=r"manifest.json is not what was written"):
            files.read(copied)


def test_files_that_are_built_beside_it_do_no_harm(copied: Path) -> None:
    (copied / "example").write_bytes(b"a program")
    assert files.read(copied)


def test_every_part_of_a_manifest_is_described() -> None:
    described = documents.rows(ROOT / "docs" / "bundles.md", "## The manifest")
    assert {name for row in described for name in documents.code(row[0])} == {*names(Manifest), "digest"}


def names(model: type[BaseModel], before: str = "") -> set[str]:
    """Return the fields of a model; those of a part stand after its name and a dot."""
    found = set()
    for name, field in model.model_fields.items():
        part = field.annotation
        inner = isinstance(part, type) and issubclass(part, BaseModel)
        found |= names(part, f"{before}{name}.") if inner else {f"{before}{name}"}  # type: ignore[arg-type]
    return found
