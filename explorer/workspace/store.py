"""Stage key → artifact: a folder of files published in one rename, verified by digest whenever it is found."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from explorer.core import locks
from explorer.core.artifact import Artifact

HOST = platform.node()  # this machine, on a filesystem that several share
META = "meta.json"
CHUNK = 1 << 20


class _DamagedError(Exception):
    """A published artifact is not what was published; the message says in what."""


class Store:
    """Artifacts below one folder, shared by every process that opens the same folder.

    An artifact's folder appears by a rename on the same filesystem, complete with `META`, which holds the digest of
    every file. A key is built under a file lock: of two processes that want it, one builds and the other waits.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[Path, tuple[tuple[int, int, int], ...]] = {}
        self._guard = threading.Lock()
        for folder in ("tmp", "locks"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def folder(self, stage: str, key: str) -> Path:
        """Return where the artifact of `stage` with `key` lies or would lie."""
        return self.root / stage / key[:2] / key

    def find(self, stage: str, key: str) -> Artifact | None:
        """Return the complete, intact artifact, or None.

        Files are hashed once per process and again only when their size or modification time changes. A damaged
        artifact counts as absent; `damage` says what is wrong with it.
        """
        try:
            meta = self._intact(self.folder(stage, key))
        except _DamagedError:
            return None
        if meta is None:
            return None
        return Artifact(stage, key, self.folder(stage, key), meta["values"], meta["seconds"])

    def damage(self, stage: str, key: str) -> str | None:
        """Return what is wrong with a published artifact in one sentence, or None if it is intact or absent."""
        try:
            self._intact(self.folder(stage, key))
        except _DamagedError as damage:
            return str(damage)
        return None

    def _intact(self, path: Path) -> dict[str, Any] | None:
        """Return the metadata of the artifact at `path`, every digest checked, or None if there is none."""
        try:
            meta: dict[str, Any] = json.loads((path / META).read_bytes())
            files: dict[str, str] = meta["files"]
            stamp = tuple(_stamp(path / name) for name in (META, *sorted(files)))
            with self._guard:
                if self._verified.get(path) == stamp:
                    return meta
            if _digest_of_values(meta["values"]) != meta["values_digest"]:
                raise _DamagedError(f"the values of {path} do not match their digest")
            for name, digest in files.items():
                if _digest_of_file(path / name) != digest:
                    raise _DamagedError(f"{path / name} does not match its digest")
        except (OSError, ValueError, KeyError, TypeError) as error:
            if not path.exists():
                return None
            raise _DamagedError(f"{path} cannot be read: {error}") from error
        with self._guard:
            self._verified[path] = stamp
        return meta

    @contextlib.contextmanager
    def locked(self, key: str, stopping: threading.Event | None = None) -> Iterator[None]:
        """Hold the lock of `key`, waiting for whoever has it until `stopping` is set; see `locks.held`."""
        with locks.held(self.lock(key), stopping or threading.Event()):
            yield

    def lock(self, name: str) -> Path:
        """Return the file whose lock processes on this folder have one at a time, for a key or another `name`."""
        return self.root / "locks" / f"{name}.lock"

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """Give a fresh folder on the store's filesystem to write into; whatever is not published is removed."""
        path = Path(tempfile.mkdtemp(dir=self.root / "tmp", prefix=f"{os.getpid()}@{HOST}."))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def scratch(self, key: str) -> Path:
        """Return the folder, which need not exist, that executions of `key` share until one of them answers.

        The caller holds ``locked(key)``. It outlives a killed process; to remove it costs time and nothing else.
        """
        return self.root / "scratch" / key

    def shared(self, name: str, key: str) -> Path:
        """Return a folder, which need not exist, that executions of many keys add to; it is never removed."""
        return self.root / name / key[:2] / key

    def forget(self, key: str) -> None:
        """Remove the scratch folder of `key`."""
        shutil.rmtree(self.scratch(key), ignore_errors=True)

    def publish(self, stage: str, key: str, draft: Path, values: Mapping[str, Any], seconds: float) -> Artifact:
        """Make the files in `draft` the artifact of `key`, in one rename, replacing a damaged predecessor.

        The caller holds ``locked(key)``.
        """
        files = {str(file.relative_to(draft)): file for file in sorted(draft.rglob("*")) if file.is_file()}
        for file in files.values():
            _sync(file)
        meta = {
            "stage": stage,
            "values": dict(values),
            "values_digest": _digest_of_values(values),
            "seconds": seconds,
            "files": {name: _digest_of_file(file) for name, file in files.items()},
        }
        (draft / META).write_text(json.dumps(meta, indent=1))
        _sync(draft / META)
        path = self.folder(stage, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            shutil.rmtree(path)
        draft.rename(path)
        _sync(path.parent)
        self.forget(key)
        return Artifact(stage, key, path, dict(values), seconds)

    def clean(self) -> None:
        """Remove drafts of this machine's processes that have ended; another machine may be writing into its own."""
        for path in (self.root / "tmp").iterdir():
            process, _, rest = path.name.partition("@")
            if rest.rpartition(".")[0] in ("", HOST) and not _runs(process):
                shutil.rmtree(path, ignore_errors=True)


def _runs(process: str) -> bool:
    """Tell whether there is a process of this number."""
    return process.isdecimal() and Path("/proc", process).exists()


def _digest_of_values(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


def _digest_of_file(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
