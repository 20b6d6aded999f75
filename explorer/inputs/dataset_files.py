"""Data set's name and ``[data]`` → the folder that its files lie in and their digest; missing files are downloaded.

A data set's module says in literals where its files lie, and is not imported for that::

    FOLDERS = ("cifar-10-batches-py",)        # tried in turn, below [data] folder unless absolute
    FOLDER_SETTING = "image_folder"           # or: the setting of [data] that names the folder itself
    FILES = ("data_batch_[1-5]", "test_batch")  # patterns below the folder, each of which has to match something
    OPTIONAL_FILES = ("val/*/*",)             # patterns that need not
    DOWNLOADS = True                          # it has a function download(folder) that fetches them into [data] folder
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.digests import digest_of_files
from explorer.core.errors import SpaceError, StageFailed
from explorer.core.settings import DataSettings
from explorer.processes.pool import temporary
from explorer.workspace.workspace import Workspace

ENVIRONMENT = "DLAS_DATA"  # names the folder of data sets where [data] folder does not
DEFAULT = "data"


def source(dataset: str, settings: DataSettings, workspace: Workspace) -> Artifact:
    """Return the folder of the data set's files as an artifact whose key is their digest.

    So the files' contents enter the key of every stage that depends on them, and their place does not. A data set
    without files, and one of the user's own, has the folder of data sets and the digest of nothing.

    Raises
    ------
    SpaceError
        If the files are not where they should be; the message says which files are expected where.
    """
    patterns = plugins.literal("dataset", dataset, "FILES", ())
    if not patterns:
        return Artifact("source", hashlib.sha256().hexdigest(), data_folder(settings).absolute())
    root = _found(dataset, settings)
    if root is None and plugins.literal("dataset", dataset, "DOWNLOADS", default=False):
        _download(dataset, data_folder(settings), workspace)
        root = _found(dataset, settings)
    if root is None:
        raise SpaceError(_missing(dataset, settings))
    every = (*patterns, *plugins.literal("dataset", dataset, "OPTIONAL_FILES", ()))
    names = [str(path.relative_to(root)) for pattern in every for path in root.glob(pattern) if path.is_file()]
    return Artifact("source", digest_of_files(root, names, workspace.digests), root.absolute())


def data_folder(settings: DataSettings) -> Path:
    """Return the folder that data sets lie in."""
    return Path(settings.folder or os.environ.get(ENVIRONMENT) or DEFAULT)


def _candidates(dataset: str, settings: DataSettings) -> list[Path]:
    """Return the folders that the files may lie in."""
    setting = plugins.literal("dataset", dataset, "FOLDER_SETTING")
    if setting is None:
        return [data_folder(settings) / folder for folder in plugins.literal("dataset", dataset, "FOLDERS")]
    named = getattr(settings, setting)
    if not named:
        raise SpaceError(f"data set {dataset} needs [data] {setting}, the folder that holds its images")
    if not Path(named).is_dir():
        raise SpaceError(f"[data] {setting} = '{named}': no such folder")
    return [Path(named)]


def _found(dataset: str, settings: DataSettings) -> Path | None:
    """Return the first folder with something for every pattern, or None."""
    patterns = plugins.literal("dataset", dataset, "FILES")
    for folder in _candidates(dataset, settings):
        if all(any(folder.glob(pattern)) for pattern in patterns):
            return folder
    return None


def _download(dataset: str, folder: Path, workspace: Workspace) -> None:
    with temporary("torch", "download", workspace.logs) as worker:
        try:
            worker.request({"call": f"explorer.datasets.{dataset}:download", "arguments": {"folder": str(folder)}})
        except StageFailed as failed:
            reason = " ".join(failed.failure.message.split())
            raise SpaceError(f"data set {dataset} cannot be downloaded into {folder}: {reason}") from failed


def _missing(dataset: str, settings: DataSettings) -> str:
    folders = _candidates(dataset, settings)
    places = " or ".join(str(folder) for folder in folders)
    patterns = plugins.literal("dataset", dataset, "FILES")
    lacking = [pattern for pattern in patterns if not any(folders[0].glob(pattern))]
    setting = plugins.literal("dataset", dataset, "FOLDER_SETTING", "folder")
    return f"data set {dataset} expects {', '.join(lacking)} in {places}; [data] {setting} can name another folder"
