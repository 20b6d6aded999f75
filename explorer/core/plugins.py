"""Kind of plug-in and name → module: one file per choice, the file's name is the choice's name.

Listing names and reading literals (``VERSION = 1``) imports nothing, so that the process that parses the command line
never loads torch or TVM for it; `load` imports and belongs in the worker that needs the code.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import threading
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from explorer.core import own_modules
from explorer.core.errors import ExplorerError, did_you_mean

PACKAGES = {
    "dataset": "explorer.datasets",
    "model": "explorer.models",
    "compression": "explorer.compression",
    "sampler": "explorer.search.samplers",
    "engine": "explorer.engines",
    "stage": "explorer.line.stages",
    "algorithm": "dlas_ops.kernels.algorithms",
    "tuner": "dlas_ops.tuning.tuners",
    "sparse": "dlas_ops.kernels.sparse",  # the algorithms' kernels for weights in csr
}

# Kind whose folder has other modules, too → the function that makes a module a plug-in.
ENTRIES = {"engine": "build"}

# Arguments that functions of the user's own are called with, by kind.
SIGNATURES = {
    "dataset": ("options",),
    "model": ("width", "classes", "shape"),
    "compression": ("model", "ratio", "example", "fine_tune"),
    "loss": ("outputs", "targets"),
    "metric": ("predictions", "targets"),
}

# Libraries whose networks are models by their own names there, written ``timm:mobilenetv3_small_100``.
LIBRARIES = ("timm", "torchvision")
ONNX = "onnx:"  # what the name of a model begins with that is an ONNX file

# Workaround: CPython 3.11: it counts the depth of syntax trees for all threads together, so that two threads that parse
# at once raise SystemError; tests/workarounds
_PARSING = threading.Lock()


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of all plug-ins of `kind`, sorted, without importing any of them."""
    found = sorted(module.name for module in pkgutil.iter_modules([str(_folder(kind))]) if module.name[0] != "_")
    return tuple(name for name in found if kind not in ENTRIES or defines(kind, name, ENTRIES[kind]))


def is_custom(name: str) -> bool:
    """Tell whether `name` is the user's own, written ``module:function``."""
    return ":" in name and not of_library(name) and not is_onnx(name)


def of_library(name: str) -> str | None:
    """Return the library that model `name` is a network of, None if it is none."""
    library, colon, _ = name.partition(":")
    return library if colon and library in LIBRARIES else None


def is_onnx(name: str) -> bool:
    """Tell whether model `name` is an ONNX file, written ``onnx:path``."""
    return name.startswith(ONNX)


@cache
def literal(kind: str, name: str, constant: str, default: Any = None) -> Any:
    """Return the value of the top-level literal `constant` in the plug-in's source, without importing it.

    A plug-in of the user's own (``module:function``), a library's, an ONNX file and one that does not define the
    constant give `default`.
    """
    if ":" in name:
        return default
    for node in _body(kind, name):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == constant:
                return ast.literal_eval(value)
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == constant:
                return ast.literal_eval(value)
    return default


@cache
def defines(kind: str, name: str, function: str) -> bool:
    """Tell whether the plug-in's source defines `function` at its top level; one of the user's own is a function."""
    if ":" in name:
        return True
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in _body(kind, name))


def headline(kind: str, name: str) -> str:
    """Return the first line of what the plug-in's source says of it, without importing it."""
    return (ast.get_docstring(_tree(kind, name)) or "").partition("\n")[0]


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
    """Return the object that ``module:function`` names; to call it leaves this process's settings as they were.

    Raises
    ------
    ExplorerError
        If the module cannot be imported or does not define the function.
    """
    module_name, _, attribute = name.partition(":")
    module = own_modules.load(module_name, name)
    if not hasattr(module, attribute):
        where = getattr(module, "__file__", None) or "built in"
        raise ExplorerError(f"module '{module_name}' of '{name}' ({where}) defines no '{attribute}'")
    found = getattr(module, attribute)
    return own_modules.guarded(found) if callable(found) else found


def check_custom(kind: str, name: str, folder: str) -> str | None:
    """Return what is wrong with a plug-in of the user's own in one sentence, None if it can be called.

    Parameters
    ----------
    folder
        That its module is imported from.
    """
    own_modules.make_importable(Path(folder))
    try:
        function = load_custom(name)
    except ExplorerError as error:
        return str(error)
    try:
        inspect.signature(function).bind(*SIGNATURES[kind])
    except (TypeError, ValueError) as error:
        return f"'{name}' cannot be called as {name.partition(':')[2]}({', '.join(SIGNATURES[kind])}): {error}"
    return None


def _body(kind: str, name: str) -> list[ast.stmt]:
    return _tree(kind, name).body


def _tree(kind: str, name: str) -> ast.Module:
    source = (_folder(kind) / f"{name}.py").read_text(encoding="utf-8")
    with _PARSING:
        return ast.parse(source)


@cache
def _folder(kind: str) -> Path:
    spec = importlib.util.find_spec(PACKAGES[kind])
    if spec is None or not spec.submodule_search_locations:
        raise ExplorerError(f"package {PACKAGES[kind]} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
