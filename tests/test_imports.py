"""The direction of imports: down the line only, dlas_ops on its own, and no heavy library where it is not wanted."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dlas_ops
import explorer

ROOT = Path(__file__).parent.parent

# The line, from its start to its end, and what is reached from it. A module imports only what stands below it here;
# modules of one row do not import each other. Packages stand for all their modules.
ROWS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("tables",),
    ("",),  # the package itself: the Python API
    ("grids",),
    ("search", "progress", "figures", "planning"),
    ("helping",),
    ("turns",),
    ("study",),
    ("report", "pareto"),
    ("promotion", "screening", "earlier"),
    ("samplers",),
    ("costs",),
    ("counting",),
    ("sampling", "trial", "engines"),
    ("origins",),
    ("loopback", "stages", "sources", "initial_weights", "own_code"),
    ("tuning",),
    ("rpc", "worker", "workers", "parting"),
    ("space",),
    ("encoding", "tree"),
    ("constraints", "limits", "compression", "models", "training", "weights", "onnx_export", "accounting"),
    ("answers",),
    ("prepared", "augmentation", "activations", "checkpoint", "fake_quantization"),
    ("datasets", "space_file", "axes"),
    ("devices", "workspace"),
    ("toml_file",),
    ("toml_lines", "settings", "records", "stage"),
    ("statistics", "store", "digests", "execution"),
    ("configuration", "locks"),
    ("plugins",),
    ("errors",),
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def top(module: str) -> str:
    """Return the first part below ``explorer``: ``explorer.stages.train`` → ``stages``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


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


@pytest.mark.parametrize("path", modules("explorer"), ids=lambda path: str(path.relative_to(ROOT)))
def test_explorer_imports_only_downwards(path: Path) -> None:
    own = path.relative_to(ROOT / "explorer").with_suffix("").parts[0].replace("__init__", "")
    for module, _ in imports(path):
        if module.split(".")[0] == "explorer" and top(module) in RANK and top(module) != own:
            assert RANK[own] < RANK[top(module)], f"{path} imports {module}, which stands above it"


@pytest.mark.parametrize("path", modules("dlas_ops"), ids=lambda path: str(path.relative_to(ROOT)))
def test_dlas_ops_stands_alone(path: Path) -> None:
    assert not [module for module, _ in imports(path) if module.split(".")[0] in ("explorer", "torch", "optuna")]


def test_every_module_has_its_place() -> None:
    found = {path.relative_to(ROOT / "explorer").with_suffix("").parts[0] for path in modules("explorer")}
    assert found - {"__init__"} == set(RANK) - {""}


def test_torch_and_tvm_stay_out_of_each_others_modules() -> None:
    for path in modules("explorer"):
        libraries = {module.split(".")[0] for module, _ in imports(path)}
        assert not {"torch", "tvm"} <= libraries, path


@pytest.mark.parametrize("module", ["explorer.cli", "dlas_ops", "explorer.search"])
def test_the_command_line_loads_neither_torch_nor_tvm(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {"torch", "tvm", "onnx"} | (set() if module == "explorer.search" else {"optuna", "pandas", "sqlalchemy"})
    assert not unwanted & set(loaded)


def test_the_packages_say_what_they_are() -> None:
    assert explorer.__doc__
    assert dlas_ops.__doc__
