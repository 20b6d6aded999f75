"""Code of the user's own that a stage runs → imported, with what it changed of the process put back after the stage."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.core import own_modules, plugins
from explorer.core.artifact import Artifact
from explorer.core.files import reads
from explorer.line.execution import current


@dataclass(frozen=True)
class _State:
    """What modules may leave behind when they are imported, and expect in their functions."""

    folder: str
    environment: dict[str, str]
    random: Any
    numpy: Any

    @classmethod
    def now(cls) -> _State:
        numbers = sys.modules["numpy"].random.get_state()
        return cls(os.getcwd(), dict(os.environ), random.getstate(), numbers)

    def restore(self) -> None:
        """Make all of it as it is here."""
        self.bring(_State.now())

    def bring(self, before: _State) -> None:
        """Make as it is here whatever differs from `before`, and the generators of random numbers."""
        if self.folder != before.folder:
            os.chdir(self.folder)
        for name in before.environment.keys() - self.environment.keys():
            os.environ.pop(name, None)
        os.environ.update(dict(self.environment.items() - before.environment.items()))
        random.setstate(self.random)
        sys.modules["numpy"].random.set_state(self.numpy)


_IMPORTED: dict[str, tuple[_State, _State]] = {}  # by module: the states before and after


@contextlib.contextmanager
def imported(code: Collection[Artifact], but: Iterable[Path]) -> Iterator[None]:
    """Import the code that a stage runs, and have for the stage what that changed, as if it was imported just now.

    So a stage's result does not depend on what the process has run before, and no stage after it is changed.

    Parameters
    ----------
    code
        Folders that modules are imported from, whose values name the function, ``module:function``.
    but
        Folders whose files are the explorer's.

    Raises
    ------
    ExplorerError
        If a module cannot be imported.
    """
    if not code:
        yield
        return
    importlib.import_module("torch")  # whose settings can be kept only then
    before = _State.now()
    try:
        with reads.noted(own_modules.is_running) as noted:
            for each in sorted(code, key=_function):
                _import(each)
            yield
        _tell_unforeseen(noted, code, but)
    finally:
        before.restore()


def _tell_unforeseen(noted: reads.Reads, code: Collection[Artifact], but: Iterable[Path]) -> None:
    """Tell the user of files that the code has read, and did not when it was tried before: they are in no key."""
    roots = {artifact.path for artifact in code}
    known = {(artifact.path / name).resolve() for artifact in code for name in artifact.values["files"]}
    found = [
        file
        for file in map(Path, sorted(noted.files))
        if file.resolve() not in known
        and any(reads.is_inside(file, root) and reads.counts(file, root, but) for root in roots)
    ]
    if found:
        more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
        names = ", ".join(sorted(map(_function, code)))
        current().note(f"{names} read {found[0]}{more} only now, so that no key has it: name it in [own] files")


def _function(code: Artifact) -> str:
    return str(code.values["function"])


def _import(code: Artifact) -> None:
    name = _function(code)
    module = name.partition(":")[0]
    if module in _IMPORTED:
        before, after = _IMPORTED[module]
        after.bring(before)
        return
    own_modules.make_importable(code.path)
    before = _State.now()
    plugins.load_custom(name)
    _IMPORTED[module] = before, _State.now()
