"""Digests of files: of their names and contents alone, read again only when a file changes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from explorer.core.files.digests import digest_of_file, digest_of_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / name).write_text(name * 3)
    return root


def test_the_order_of_names_and_the_place_of_the_folder_do_not_count(root: Path, tmp_path: Path) -> None:
    first = digest_of_files(root, ["a", "b"], tmp_path / "cache")
    assert digest_of_files(root, ["b", "a"], tmp_path / "cache") == first
    moved = root.rename(tmp_path / "elsewhere")
    assert digest_of_files(moved, ["a", "b"], tmp_path / "another" / "cache") == first


def test_names_and_contents_count(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    digests = {digest_of_files(root, names, cache) for names in (["a"], ["b"], ["a", "b"], ["a", "b", "c"])}
    (root / "d").write_text("aaa")  # the contents of a under another name
    digests.add(digest_of_files(root, ["d"], cache))
    (root / "a").write_text("AAAA")
    digests.add(digest_of_files(root, ["a"], cache))
    assert len(digests) == 6


def test_the_digest_of_one_file_is_that_of_its_contents(root: Path, tmp_path: Path) -> None:
    expected = hashlib.sha256(b"aaa").hexdigest()
    assert digest_of_file(root / "a", tmp_path / "cache") == expected
    assert digest_of_file((root / "a").rename(root / "z"), tmp_path / "cache") == expected


def test_a_file_is_read_again_when_its_size_or_time_changes(root: Path, tmp_path: Path) -> None:
    cache, file = tmp_path / "cache", root / "a"
    first = digest_of_file(file, cache)
    status = file.stat()
    file.write_text("xyz")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of_file(file, cache) == first, "same size and time: what is known of it is taken"
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert digest_of_file(file, cache) == hashlib.sha256(b"xyz").hexdigest()


def test_a_file_that_is_gone_is_an_error_even_if_it_was_known(root: Path, tmp_path: Path) -> None:
    digest_of_file(root / "a", tmp_path / "cache")
    (root / "a").unlink()
    with pytest.raises(FileNotFoundError):
        digest_of_file(root / "a", tmp_path / "cache")
