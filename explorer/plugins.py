"""Kind of plug-in and name → module: one file per choice, the file's name is the choice's name.

Listing names and reading literals (``VERSION = 1``) imports nothing, so that the process that parses the command line
never loads torch or TVM for it; `load` imports and belongs in the worker that needs the code.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import threading
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from explorer.errors import ExplorerError, did_you_mean

PACKAGES = {
    "dataset": "explorer.datasets",
    "model": "explorer.models",
    "compression": "explorer.compression",
    "sampler": "explorer.samplers",
    "stage": "explorer.stages",
    "algorithm": "dlas_ops.algorithms",
    "sparse": "dlas_ops.sparse",  # the algorithms' kernels for weights in csr
}

# CPython 3.11 counts the depth of syntax trees for all threads together: two that parse at once raise SystemError.
_PARSING = threading.Lock()


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of all plug-ins of `kind`, sorted, without importing any of them."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules([str(_folder(kind))]) if found.name[0] != "_"))


def is_custom(name: str) -> bool:
    """Tell whether `name` is the user's own, written ``module:function``."""
    return ":" in name


@cache
def literal(kind: str, name: str, constant: str, default: Any = None) -> Any:
    """Return the value of the top-level literal `constant` in the plug-in's source, without importing it.

    A plug-in of the user's own (``module:function``) and one that does not define the constant give `default`.
    """
    if is_custom(name):
        return default
    source = (_folder(kind) / f"{name}.py").read_text()
    with _PARSING:
        tree = ast.parse(source)
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == constant:
                return ast.literal_eval(value)
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == constant:
                return ast.literal_eval(value)
    return default


def load(kind: str, name: str) -> ModuleType:
    """Import and return the module of plug-in `name`.

    Raises
    ------
    ExplorerError
        If there is no such plug-in; the message lists those there are.
    """
    if name not in names(kind):
        raise ExplorerError(f"unknown {kind} '{name}'{did_you_mean(name, names(kind))}")
    return importlib.import_module(f"{PACKAGES[kind]}.{name}")


def load_custom(name: str) -> Any:
    """Return the object that ``module:function`` names.

    Raises
    ------
    ExplorerError
        If the module cannot be imported or does not define the function.
    """
    module_name, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ExplorerError(f"cannot import '{module_name}' of '{name}': {error}") from error
    except AttributeError:
        raise ExplorerError(f"module '{module_name}' of '{name}' defines no '{attribute}'") from None


@cache
def _folder(kind: str) -> Path:
    spec = importlib.util.find_spec(PACKAGES[kind])
    if spec is None or not spec.submodule_search_locations:
        raise ExplorerError(f"package {PACKAGES[kind]} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
