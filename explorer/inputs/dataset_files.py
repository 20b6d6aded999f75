"""Data set's name and ``[data]`` → the folder that its files lie in and their digest; missing files are downloaded.

A data set's module says in literals where its files lie, and is not imported for that::

    FOLDERS = ("cifar-10-batches-py",)        # tried in turn, below [data] folder unless absolute
    FOLDER_SETTING = "image_folder"           # or: the setting of [data] that names the folder itself
    FILES = ("data_batch_[1-5]", "test_batch")  # patterns below the folder; each has to match something
    IMAGES = ("train",)                       # instead of FILES: splits of class folders; each has to be there
    OPTIONAL_IMAGES = ("val", "test")         # splits that need not
    DOWNLOADS = True                          # it has a function download(folder) that fetches them into [data] folder
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.errors import SpaceError, StageFailed
from explorer.core.files.digests import digest_of_files
from explorer.core.settings import DataSettings
from explorer.datasets._folders import survey
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
    if not has_files(dataset):
        return Artifact("source", hashlib.sha256().hexdigest(), data_folder(settings).absolute())
    root = _found(dataset, settings)
    if root is None and plugins.literal("dataset", dataset, "DOWNLOADS", default=False):
        _download(dataset, data_folder(settings), workspace)
        root = _found(dataset, settings)
    if root is None:
        raise SpaceError(_missing(dataset, settings))
    try:
        return Artifact("source", digest_of_files(root, _names(dataset, root), workspace.digests), root.absolute())
    except OSError as error:
        raise SpaceError(f"the files of data set {dataset} cannot be read: {error}") from error


def has_files(dataset: str) -> bool:
    """Tell whether a data set reads files; of the user's own that is not known, and no."""
    return any(plugins.literal("dataset", dataset, literal, ()) for literal in ("FILES", "IMAGES"))


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


def _names(dataset: str, root: Path) -> list[str]:
    """Return the names of the files in `root` that the data set is made of."""
    if splits := plugins.literal("dataset", dataset, "IMAGES", ()):
        return survey(root, (*splits, *plugins.literal("dataset", dataset, "OPTIONAL_IMAGES", ()))).files
    patterns = plugins.literal("dataset", dataset, "FILES")
    return [str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern) if path.is_file()]


def _lacking(dataset: str, folder: Path) -> list[str]:
    """Return what has to be in `folder` and is not: patterns, or where images of a split are expected."""
    if splits := plugins.literal("dataset", dataset, "IMAGES", ()):
        images = survey(folder, splits).images if folder.is_dir() else {}
        return [f"{split}/CLASS/NAME.jpg" for split in splits if not any(images.get(split, {}).values())]
    return [pattern for pattern in plugins.literal("dataset", dataset, "FILES") if not any(folder.glob(pattern))]


def _found(dataset: str, settings: DataSettings) -> Path | None:
    """Return the first folder with all that has to be there, or None."""
    return next((folder for folder in _candidates(dataset, settings) if not _lacking(dataset, folder)), None)


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
    setting = plugins.literal("dataset", dataset, "FOLDER_SETTING", "folder")
    expected = ", ".join(_lacking(dataset, folders[0]))
    splits = plugins.literal("dataset", dataset, "IMAGES", ())
    unused = "; ".join(survey(folders[0], splits).notes) if splits and folders[0].is_dir() else ""
    there = f", where it does not use {unused}" if unused else ""
    return f"data set {dataset} expects {expected} in {places}{there}; [data] {setting} can name another folder"
