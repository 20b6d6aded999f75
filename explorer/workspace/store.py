"""Stage key → artifact: a folder of files published in one rename, verified by digest whenever it is found."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from explorer.core.artifact import Artifact
from explorer.core.errors import WorkspaceError
from explorer.core.files import locks, regular
from explorer.workspace import published
from explorer.workspace.published import META, DamagedError, Stamp, sync

HOST = platform.node()  # this machine, on a filesystem that several share

__all__ = ["HOST", "META", "Store"]


class Store:
    """Artifacts below one folder, shared by every process that opens the same folder.

    An artifact's folder appears by a rename on the same filesystem, complete with `META`, which holds the digest of
    every file. A key is built under a file lock: of two processes that want it, one builds and the other waits.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[Path, Stamp] = {}
        self._guard = threading.Lock()
        if os.path.lexists(root) and not root.is_dir():
            raise WorkspaceError(f"'{root}' is no folder of artifacts, or a link to none; move it away")
        for folder in ("tmp", "locks"):
            regular.make_folder(root / folder)

    def folder(self, stage: str, key: str) -> Path:
        """Return where the artifact of `stage` with `key` lies or would lie."""
        return self.root / stage / key[:2] / key

    def find(self, stage: str, key: str) -> Artifact | None:
        """Return the complete, intact artifact, or None.

        Files are hashed once per process and again only when their size or modification time changes. A damaged
        artifact counts as absent; `damage` says what is wrong with it.
        """
        try:
            meta = self._intact(stage, key)
        except DamagedError:
            return None
        if meta is None:
            return None
        return Artifact(stage, key, self.folder(stage, key), meta["values"], meta["seconds"])

    def damage(self, stage: str, key: str) -> str | None:
        """Return what is wrong with a published artifact in one sentence, or None if it is intact or absent."""
        try:
            self._intact(stage, key)
        except DamagedError as damage:
            return str(damage)
        return None

    def clear(self, stage: str, key: str) -> None:
        """Remove what lies in the place of an artifact; the caller holds ``locked(key)``."""
        regular.clear(self.folder(stage, key))

    def _intact(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the metadata of an artifact, every digest checked, or None if there is none."""
        path = self.folder(stage, key)
        if Path(key).name != key or not os.path.lexists(path):  # a key on record that was damaged may be any text
            return None
        with self._guard:
            known = self._verified.get(path)
        meta, stamp = published.verified(path, stage, key, known)
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
        return self._kept("scratch", key)

    def shared(self, name: str, key: str) -> Path:
        """Return a folder, which need not exist, that executions of many keys add to; it is never removed."""
        return self._kept(name, key[:2], key)

    def _kept(self, *names: str) -> Path:
        """Return the folder of these names, each in the one before; what is no folder among them is removed."""
        path = self.root
        for name in names:
            path = regular.keep_folder(path / name)
        return path

    def forget(self, key: str) -> None:
        """Remove the scratch folder of `key`."""
        with contextlib.suppress(OSError):
            regular.clear(self.scratch(key))

    def publish(self, stage: str, key: str, draft: Path, values: Mapping[str, Any], seconds: float) -> Artifact:
        """Make the files in `draft` the artifact of `key`, in one rename, replacing a damaged predecessor.

        The caller holds ``locked(key)``.
        """
        published.describe(draft, stage, key, values, seconds)
        path = self.folder(stage, key)
        for folder in (path.parent.parent, path.parent):
            regular.make_folder(folder)
        regular.clear(path)
        draft.rename(path)
        sync(path.parent)
        self.forget(key)
        return Artifact(stage, key, path, dict(values), seconds)

    def clean(self) -> None:
        """Remove drafts of this machine's processes that have ended; another machine may be writing into its own."""
        for path in (self.root / "tmp").iterdir():
            process, _, rest = path.name.partition("@")
            if rest.rpartition(".")[0] in ("", HOST) and not _runs(process):
                with contextlib.suppress(OSError):
                    regular.clear(path)


def _runs(process: str) -> bool:
    """Tell whether there is a process of this number."""
    return process.isdecimal() and Path("/proc", process).exists()
