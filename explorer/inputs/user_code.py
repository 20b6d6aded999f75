"""``module:function`` of the user's own → the folder it is imported from and a digest of its code; nothing is imported.

The code is the module's file, those of the packages around it, and all files of the same folder that these import. An
installed package counts by its version. The explorer's own modules do not count: stages have versions for them.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.machinery
import importlib.metadata
import importlib.util
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from explorer.core.artifact import Artifact
from explorer.core.configuration import digest
from explorer.core.digests import digest_of_files
from explorer.core.errors import SpaceError

VERSIONED = ("explorer", "dlas_ops")


def find(name: str, folders: Sequence[Path], cache: Path) -> Artifact:
    """Return the folder that the module of `name` is imported from as an artifact whose key is its code's digest.

    Parameters
    ----------
    folders
        Searched before the folders that Python searches.
    cache
        File of known digests; see `explorer.core.digests`.

    Raises
    ------
    SpaceError
        If there is no such module, or it is no Python.
    """
    module = name.partition(":")[0]
    root = _root(module, folders)
    if root is None or (file := _file(root, module)) is None:
        places = ", ".join(map(str, folders if root is None else [root]))
        raise SpaceError(f"'{name}': there is no module '{module}' in {places} or where Python finds modules")
    installed = _installed(root, module)
    files = [file] if installed else sorted(_own_files(root, module))
    names = [str(path.relative_to(root)) for path in files]
    return Artifact("code", digest([installed, digest_of_files(root, names, cache)]), root.absolute())


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
    if str(root) not in {sysconfig.get_path(place) for place in ("purelib", "platlib")}:
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
