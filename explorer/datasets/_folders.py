"""A folder of splits with class folders → the image files in it, by split and class, and what of it is no image.

Splits may have any of `SPLIT_NAMES`, in small letters or capitals. A class's images are those in its folder and in the
folders below that. Links are followed. What systems and programs leave behind is neither a class nor an image.

It reads names only, and loads no library that decodes images: the process that digests files uses it, too.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Endings of images that Pillow reads, in small letters or capitals; not those of drawings, films and tables of numbers.
SUFFIXES = (
    ".apng", ".avif", ".bmp", ".bw", ".dds", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg",
    ".jpf", ".jpg", ".jpx", ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".ras", ".rgb",
    ".rgba", ".sgi", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
SPLIT_NAMES: Mapping[str, Sequence[str]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
# Names in small letters, which no class or image has; nor has one that begins with a dot.
SYSTEM_NAMES = (
    "__macosx", "__pycache__", "@eadir", "@__thumb", "#recycle", "#snapshot", "$recycle.bin", "lost+found",
    "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
)  # fmt: skip

# What is left out → how a note names it.
LEFT_OUT: Mapping[str, str] = {
    "system": "hidden and system files or folders",
    "other endings": "files with endings of no image",
    "unreadable": "links that lead nowhere and other entries that cannot be read",
    "no class": "images that lie in no class's folder",
    "no split": "folders that are no split",
}
MOST_NAMED = 3  # of each kind, in a note


@dataclass(frozen=True)
class Survey:
    """What a folder holds; all names are relative to it, with ``/``.

    Parameters
    ----------
    folders
        Split → the folders of its name, sorted; only splits that have one.
    images
        Split → class → its image files, sorted, perhaps none. Names of classes are as `shown`, in Unicode's composed
        form, which folders that a Mac wrote have not.
    left_out
        Key of `LEFT_OUT` → files and folders, in the order in which they were met.
    """

    root: Path
    folders: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """The names of all image files."""
        return [name for classes in self.images.values() for own in classes.values() for name in own]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is left out: for each kind its number and some names."""
        return tuple(f"{LEFT_OUT[kind]}: {len(names):,} ({_some(names)})" for kind, names in self.left_out.items())

    def place(self, split: str) -> Path:
        """Return the split's folder, or where it is expected."""
        return self.root / self.folders.get(split, [split])[0]

    def leave_out(self, kind: str, name: str) -> None:
        """Note that file or folder `name` is not used."""
        self.left_out.setdefault(kind, []).append(name)


def survey(root: Path, splits: Sequence[str]) -> Survey:
    """Return what is in `root` of `splits`, names from `SPLIT_NAMES`."""
    found = Survey(root)
    for name, is_folder in _entries(root, "", found):
        split = next((split for split in splits if is_folder and name.lower() in SPLIT_NAMES[split]), None)
        if split:
            found.folders.setdefault(split, []).append(name)
            _survey_split(found, split, name)
        elif is_folder:
            found.leave_out("no split", name)
        elif _is_image(name):
            found.leave_out("no class", name)
    return found


def _survey_split(found: Survey, split: str, folder: str) -> None:
    classes = found.images.setdefault(split, {})
    for name, is_folder in _entries(found.root, folder, found):
        if is_folder:
            images = classes.setdefault(shown(unicodedata.normalize("NFC", name.rpartition("/")[2])), [])
            images.extend(_images(found, name))
            images.sort()
        else:
            found.leave_out("no class" if _is_image(name) else "other endings", name)


def _images(found: Survey, folder: str) -> Iterator[str]:
    """Yield the image files in and below the folder of a class, each folder once, so that links in a circle end."""
    split = found.root / folder.partition("/")[0]
    waiting, seen = [folder], {_identity(found.root), _identity(split)}
    while waiting:
        folder = waiting.pop()
        identity = _identity(found.root / folder)
        if identity in seen:
            continue
        seen.add(identity)
        for name, is_folder in _entries(found.root, folder, found):
            if is_folder:
                waiting.append(name)
            elif _is_image(name):
                yield name
            else:
                found.leave_out("other endings", name)


def _entries(root: Path, folder: str, found: Survey) -> Iterator[tuple[str, bool]]:
    """Yield names in ``root/folder``, sorted and relative to `root`, and whether each is a folder; leave out litter."""
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError:
        found.leave_out("unreadable", folder or ".")
        return
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
            found.leave_out("system", name)
        elif os.path.isdir(entry):
            yield name, True
        elif os.path.isfile(entry):
            yield name, False
        else:
            found.leave_out("unreadable", name)


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def shown(name: str) -> str:
    """Return a file's name as text: bytes that are no UTF-8, which Python stands for otherwise, in digits."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _some(names: Sequence[str]) -> str:
    more = ", …" if len(names) > MOST_NAMED else ""
    return ", ".join(map(shown, names[:MOST_NAMED])) + more
