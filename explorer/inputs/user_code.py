"""``module:function`` of the user's own → the folder it is imported from and a digest of its code; nothing is imported.

The code is the module's file, those of the packages around it, and all files of the same folder that these import by
name; `explorer.inputs.own_reads` finds what else they read. An installed package counts by its version. The explorer's
own modules do not count: stages have versions for them.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.core.artifact import Artifact
from explorer.core.configuration import digest
from explorer.core.errors import SpaceError
from explorer.core.files.digests import digest_of_files

VERSIONED = ("explorer", "dlas_ops")


@dataclass(frozen=True)
class Located:
    """A module of the user's own, found without being imported.

    Attributes
    ----------
    root : the folder with its outermost package
    installed : names and versions of the distributions that brought it; none for one in a folder of the user's
    files : its code, as far as it imports by name
    """

    root: Path
    installed: list[str]
    files: frozenset[Path]

    def artifact(self, more: Iterable[Path], stated: Iterable[Path], cache: Path) -> Artifact:
        """Return the root as an artifact whose key is the digest of all that the module reads.

        Parameters
        ----------
        more
            Files that were read when it was tried.
        stated
            Files that the space names.
        cache
            File of known digests; see `explorer.core.files.digests`.
        """
        names = {self._name(path) for path in (*self.files, *more)}
        found: list[object] = [self.installed, digest_of_files(self.root, sorted(names), cache)]
        named = sorted({self._name(path) for path in stated} - names)
        if named:
            found.append(digest_of_files(self.root, named, cache))
        return Artifact("code", digest(found), self.root.absolute(), {"files": sorted({*names, *named})})

    def _name(self, path: Path) -> str:
        """Return a file's path from the root, which the code may know by another path."""
        for root in (self.root.absolute(), self.root.resolve()):
            if path.absolute().is_relative_to(root):
                return str(path.absolute().relative_to(root))
        return os.path.relpath(path.resolve(), self.root.resolve())


def locate(name: str, folders: Sequence[Path]) -> Located:
    """Return where the module of `name` and its code are.

    Parameters
    ----------
    folders
        Searched before the folders that Python searches.

    Raises
    ------
    SpaceError
        If there is no such module, it is no Python, or a file of the same folder has the name of another module that
        it imports.
    """
    module = name.partition(":")[0]
    root = _root(module, folders)
    if root is None or (file := _file(root, module)) is None:
        places = ", ".join(map(str, folders if root is None else [root]))
        raise SpaceError(f"'{name}': there is no module '{module}' in {places} or where Python finds modules")
    if installed := _installed(root, module):
        return Located(root, installed, frozenset((file,)))
    files = _own_files(root, module)
    for path in sorted(files):
        _refuse_twins(root, path, name)
    return Located(root, [], frozenset(files))


def find(name: str, folders: Sequence[Path], cache: Path) -> Artifact:
    """Return the folder of a module as an artifact whose key is the digest of its code alone; see `locate`."""
    return locate(name, folders).artifact((), (), cache)


def _refuse_twins(root: Path, path: Path, name: str) -> None:
    """Refuse a file whose name a module of Python's, or an installed one, has, too: there is one of a name at a time.

    Raises
    ------
    SpaceError
        If there is such a module; it names both.
    """
    top = path.relative_to(root).parts[0].partition(".")[0]
    if top in sys.stdlib_module_names:
        other = "of Python's standard library"
    else:
        installed = [place for place in _places() if Path(place) != root]
        spec = importlib.machinery.PathFinder.find_spec(top, installed)
        if spec is None or spec.origin is None or root in Path(spec.origin).parents:
            return
        other = f"installed in {spec.origin}"
    raise SpaceError(f"'{name}': {path} is in the way of the module '{top}' {other}; give the file another name")


def _places() -> set[str]:
    """Return the folders that packages are installed in."""
    return {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}


def _root(module: str, folders: Sequence[Path]) -> Path | None:
    """Return the folder with the outermost package of `module`, which is found without being imported."""
    top = module.partition(".")[0]
    spec = importlib.machinery.PathFinder.find_spec(top, [str(folder.absolute()) for folder in folders])
    try:
        spec = spec or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.origin and spec.has_location else None


def _file(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    suffixes = importlib.machinery.all_suffixes()
    found = [base / "__init__.py", *(base.with_name(base.name + suffix) for suffix in suffixes)]
    return next((path for path in found if path.is_file()), None)


def _installed(root: Path, module: str) -> list[str]:
    """Return names and versions of the distributions that brought `module`; none for one in a folder of the user's."""
    if str(root) not in _places():
        return []
    owners = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    return sorted(f"{owner} {importlib.metadata.version(owner)}" for owner in owners)


def _own_files(root: Path, module: str) -> set[Path]:
    """Return the files below `root` that importing `module` may read."""
    found: set[Path] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] in VERSIONED:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        path = _file(root, name)
        if path is not None:
            found.add(path)
            waiting += _imported(path, name if path.stem == "__init__" else name.rpartition(".")[0])
    return found


def _imported(path: Path, package: str) -> Iterator[str]:
    """Yield the names that the file at `path`, a module of `package`, imports: modules, and names inside modules."""
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes(), path)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise SpaceError(f"{path}{line}: not valid Python: {getattr(error, 'msg', error)}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with contextlib.suppress(ImportError):  # beyond the outermost package; to import it says so
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
