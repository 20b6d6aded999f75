"""Code of the user's own, as located → what it reads when it is imported and called, noted by a worker that tries it.

What was found is kept: code is tried again only when something that it read has changed, or is asked for otherwise.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.core.artifact import Artifact
from explorer.core.configuration import digest
from explorer.core.files import cached, reads
from explorer.core.files.cached import checksum
from explorer.inputs.user_code import Located
from explorer.workspace.workspace import Workspace

Answer = Mapping[str, Any]  # of `explorer.line.training.own_reads.tried`


@dataclass(frozen=True)
class Asked:
    """What a function of the user's own is tried with.

    Parameters
    ----------
    folders
        That its module, and others which the calls need, are imported from.
    calls
        The arguments of each call.
    """

    kind: str
    name: str
    folders: Sequence[str]
    calls: Sequence[Mapping[str, object]]

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments for the worker."""
        return {"kind": self.kind, "name": self.name, "folders": list(self.folders), "calls": list(self.calls)}


def found(
    asked: Asked, located: Located, stated: Iterable[Path], workspace: Workspace, try_: Callable[[Asked], Answer]
) -> tuple[Artifact, Answer]:
    """Return the code with all that it reads as an artifact, and what its trial told.

    Parameters
    ----------
    stated
        Files that the space names.
    try_
        Tries the code in a worker, and raises an error where it cannot be used.
    """
    if located.installed:
        return located.artifact((), stated, workspace.digests), {}
    named = digest([asked.arguments, str(located.root.absolute())])
    with _known(workspace.digests) as known:
        row = known.execute("SELECT code, answer, sum FROM reads WHERE asked = ?", (named,)).fetchone()
    if row and row[2] == checksum(named, *row[:2]):
        answer = json.loads(row[1])
        code = located.artifact(_files(answer, located.root), (), workspace.digests)
        if code.key == row[0]:
            return located.artifact(_files(answer, located.root), stated, workspace.digests), answer
    answer = _own(try_(asked), located.root, workspace.root)
    files = _files(answer, located.root)
    code = located.artifact(files, (), workspace.digests)
    row = (named, code.key, json.dumps(answer))
    with _known(workspace.digests) as known:
        known.execute("INSERT OR REPLACE INTO reads VALUES (?, ?, ?, ?)", (*row, checksum(*row)))
    return located.artifact(files, stated, workspace.digests), answer


def _own(answer: Answer, root: Path, workspace: Path) -> dict[str, Any]:
    """Return what a worker noted without the files that are none of the user's own."""
    files = [file for file in map(Path, answer["files"]) if reads.counts(file, root, [workspace])]
    folders = [each for each in map(Path, answer["folders"]) if each.is_dir() and reads.is_inside(each, root)]
    return {**answer, "files": [*map(str, files)], "folders": [*map(str, folders)]}


def _files(answer: Answer, root: Path) -> list[Path]:
    """Return the files that were read and are there, and those beside them that the same code would read.

    Where code lists a folder, these are files of the same endings as the ones that it reads there.
    """
    files = {path for path in map(Path, answer["files"]) if path.is_file()}
    for folder in map(Path, answer["folders"]):
        endings = {path.suffix for path in files if path.parent == folder}
        if endings and folder.is_dir():
            files |= {path for path in folder.iterdir() if path.suffix in endings and reads.is_inside(path, root)}
    return sorted(path for path in files if path.is_file())


def _known(cache: Path) -> AbstractContextManager[sqlite3.Connection]:
    """Give the table of what earlier tries found, in the file of known digests."""
    return cached.opened(cache, "reads", ("asked", "code", "answer", "sum"))
