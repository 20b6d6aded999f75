"""The direction of imports: down the line only, dlas_ops on its own, and no heavy library where it is not wanted."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import dlas_ops
import explorer
from tests import ROOT


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return every module that `path` imports and whether it does so when it is imported itself."""
    tree = ast.parse(path.read_text())
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in guarded:
            found += [(alias.name, node in tree.body) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node not in guarded and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            own = node.module in ("explorer", "dlas_ops")
            found += [(name, node in tree.body) for name in (inner if own else [node.module])]
    return found


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The packages and their contracts, in a folder of the test's own."""
    for package in ("explorer", "dlas_ops"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_packages_import_only_those_below_them(copied: Path) -> None:
    kept = lint(copied)
    assert kept.returncode == 0, kept.stdout


CIRCLES = {
    # Circles of two modules, which only a type checker follows
    "explorer/space/axes.py": ("explorer.space.rules.constraints", "No cycles are allowed in explorer.space."),
    "dlas_ops/processor/targets.py": ("dlas_ops.processor.dot", "No cycles are allowed in dlas_ops.processor."),
}
UPWARDS = {
    "explorer/core/errors.py": ("explorer.space.axes", "explorer: a package imports only those below it BROKEN"),
    "dlas_ops/schedule/steps.py": ("dlas_ops.lowering", "dlas_ops: a package imports only those below it BROKEN"),
    "dlas_ops/compiler.py": ("explorer.core.errors", "dlas_ops knows nothing of the explorer BROKEN"),
}


@pytest.mark.parametrize("added", [CIRCLES, UPWARDS], ids=["circles", "upwards"])
def test_circles_and_imports_upwards_are_seen(copied: Path, added: Mapping[str, tuple[str, str]]) -> None:
    for module, (imported, _) in added.items():
        with (copied / module).open("a") as file:
            file.write(f"\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {imported}\n")
    found = lint(copied)
    assert found.returncode != 0
    for _, broken in added.values():
        assert broken in found.stdout


def test_dlas_ops_does_without_torch_and_optuna() -> None:
    for path in modules("dlas_ops"):
        assert not [module for module, _ in imports(path) if module.split(".")[0] in ("torch", "optuna")], path


def test_torch_and_tvm_stay_out_of_each_others_modules() -> None:
    for path in modules("explorer"):
        libraries = {module.split(".")[0] for module, _ in imports(path)}
        assert not {"torch", "tvm"} <= libraries, path


@pytest.mark.parametrize("module", ["explorer.cli", "dlas_ops", "explorer.search.search"])
def test_the_command_line_loads_neither_torch_nor_tvm(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {"torch", "tvm", "onnx"} | (
        set() if module == "explorer.search.search" else {"optuna", "pandas", "sqlalchemy"}
    )
    assert not unwanted & set(loaded)


def test_the_packages_say_what_they_are() -> None:
    assert explorer.__doc__
    assert dlas_ops.__doc__
