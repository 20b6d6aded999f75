"""Folder of an artifact ↔ its metadata: what a stage returned and the digest of every file, checked when it is read.

Version 2 of the metadata has the key, the files' sizes and a digest of the metadata itself. Artifacts of before lack
them, and count as intact without: whatever else they have is checked all the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from explorer.core.files import regular

META = "meta.json"
MOST = 1 << 26  # bytes of metadata: values are a few numbers, or the problems of a network
Stamp = tuple[tuple[int, int, int], ...]


class DamagedError(Exception):
    """A published artifact is not what was published; the message says in what."""


def describe(draft: Path, stage: str, key: str, values: Mapping[str, Any], seconds: float) -> None:
    """Write the metadata of the files in `draft` beside them, with all of it on the disk when this returns."""
    files = {str(file.relative_to(draft)): file for file in sorted(draft.rglob("*")) if file.is_file()}
    for file in files.values():
        sync(file)
    meta = {
        "stage": stage,
        "key": key,
        "values": dict(values),
        "values_digest": _digest(values),
        "seconds": seconds,
        "files": {name: _digest_of_file(file) for name, file in files.items()},
        "sizes": {name: file.stat().st_size for name, file in files.items()},
    }
    (draft / META).write_text(json.dumps({**meta, "digest": _digest(meta)}, indent=1))
    sync(draft / META)


def verified(path: Path, stage: str, key: str, known: Stamp | None) -> tuple[dict[str, Any], Stamp]:
    """Return the metadata of the artifact at `path`, and a stamp of its files.

    Parameters
    ----------
    known
        The stamp that it had when it was last found intact, if it was: nothing is hashed while it has it.

    Raises
    ------
    DamagedError
        If it is not what was published.
    OSError
        If this process lacks what it takes to read a file, such as descriptors.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise DamagedError(f"{path} is no folder")
        meta = json.loads(regular.read(path / META, MOST))
        _check_fields(meta, stage, key)
        stamp = tuple(_stamp(_inside(path, name)) for name in (META, *sorted(meta["files"])))
        if known != stamp:
            _check(path, meta)
    except OSError as error:
        if error.errno in regular.SHORTAGES:
            raise
        raise DamagedError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    except RecursionError:
        raise DamagedError(f"{path / META} is nested too deeply") from None
    except ValueError as error:
        raise DamagedError(f"{path / META} cannot be used: {error}") from error
    return meta, stamp


def _check_fields(meta: Any, stage: str, key: str) -> None:
    """Raise ValueError unless metadata have the fields and types of those of an artifact of this stage and key."""
    if not isinstance(meta, dict):
        raise ValueError("it is no object")
    kinds = {"stage": str, "values": dict, "values_digest": str, "seconds": int | float, "files": dict}
    for name, kind in kinds.items():
        if not isinstance(meta.get(name), kind):
            raise ValueError(f"{name} is missing, or of another type than it should be")
    if meta["stage"] != stage or meta.get("key", key) != key:
        raise ValueError(f"it is of another artifact, {meta['stage']} {meta.get('key', '')}".rstrip())
    if isinstance(meta["seconds"], bool) or not 0 <= meta["seconds"] < math.inf:
        raise ValueError(f"seconds is {meta['seconds']}")
    if not all(isinstance(digest, str) for digest in meta["files"].values()):
        raise ValueError("a digest in files is no text")


def _check(path: Path, meta: dict[str, Any]) -> None:
    """Raise DamagedError unless an artifact's files and values are those that its metadata tell of."""
    whole = {name: value for name, value in meta.items() if name != "digest"}
    if _digest(meta["values"]) != meta["values_digest"]:
        raise DamagedError(f"the values of {path} do not match their digest")
    if "digest" in meta and _digest(whole) != meta["digest"]:
        raise DamagedError(f"{path / META} does not match its digest")
    there = {str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir() or file.is_symlink()}
    if stray := sorted(there - {META, *meta["files"]}):
        raise DamagedError(f"{path / stray[0]} is no file of the artifact")
    for name, digest in meta["files"].items():
        size = os.lstat(path / name).st_size
        if meta.get("sizes", {}).get(name, size) != size or _digest_of_file(path / name) != digest:
            raise DamagedError(f"{path / name} does not match its digest")


def _inside(path: Path, name: str) -> Path:
    """Return the file of this name in the folder at `path`; raise ValueError for one that leads elsewhere."""
    *folders, _ = parts = PurePosixPath(name).parts or ("",)
    if os.path.isabs(name) or ".." in parts or str(PurePosixPath(name)) != name:
        raise ValueError(f"its file '{name}' is not in the folder")
    for depth in range(1, len(folders) + 1):
        if not stat.S_ISDIR(os.lstat(path.joinpath(*folders[:depth])).st_mode):
            raise ValueError(f"its file '{name}' is not in the folder")
    return path / name


def _digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain values; the same whether they come from JSON or go there."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


def _digest_of_file(path: Path) -> str:
    with regular.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is no regular file")
    return status.st_size, status.st_mtime_ns, status.st_ino


def sync(path: Path) -> None:
    """Wait until the disk has a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
