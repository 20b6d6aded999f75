"""docs/security.md lists each place that loads code, starts programs or could unpickle; the linter is told no other."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.documents import PAGES

PAGE = ROOT / "docs" / "security.md"
PACKAGES = ("explorer", "dlas_ops")

# Modules whose import says it all, and functions by the ends of their names.
MODULES = {
    "pickle": "unpickles", "cloudpickle": "unpickles", "dill": "unpickles", "joblib": "unpickles",
    "shelve": "unpickles", "marshal": "unpickles", "multiprocessing": "multiprocessing", "ray": "ray",
    "subprocess": "subprocess", "runpy": "import_module", "yaml": "yaml", "ctypes": "ctypes",
}  # fmt: skip
CALLS = {
    "eval": "eval", "exec": "eval", "__import__": "import_module",
    "importlib.import_module": "import_module", "import_module": "import_module", "torch.load": "torch.load",
    "np.load": "np.load", "numpy.load": "np.load", "load_module": "load_module", "os.system": "os.system",
    "os.popen": "os.system", "os.execve": "os.execve",
    "os.fork": "os.fork", "torchvision.datasets": "torchvision.datasets",
}  # fmt: skip
FORBIDDEN = (r"allow_pickle\s*=\s*True", r"weights_only\s*=\s*False", r"shell\s*=\s*True", r"#\s*noqa:.*\bS\d{3}")


def found() -> dict[tuple[str, str], int]:
    """Return the kinds of such places by file, with the number of one line of each."""
    places = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for kind, line in kinds_in(ast.parse(path.read_text())):
                places[kind, str(path.relative_to(ROOT))] = line
    return places


def kinds_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or name.endswith(".load_module"):
                yield CALLS.get(name, "load_module"), node.lineno
            continue
        else:
            continue
        for name in names:
            if kind := MODULES.get(name.partition(".")[0]) or CALLS.get(name):
                yield str(kind), node.lineno


def listed() -> set[tuple[str, str]]:
    """Return kind and file of each place in the page's table."""
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {
        (kind, file)
        for kinds, files, *_ in rows
        for kind in re.findall(r"`([^`]+)`", kinds)
        for file in re.findall(r"`([^`]+\.py)`", files)
    }


def test_the_table_lists_each_place_and_no_other() -> None:
    places = found()
    assert {f"{file}:{line} {kind}" for (kind, file), line in places.items() if (kind, file) not in listed()} == set()
    assert listed() - places.keys() == set()
    assert len(places) > 30
    assert "docs/security.md" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("text", ["import pickle", "from multiprocessing.connection import Connection", "eval('1')"])
def test_a_new_place_would_be_seen(text: str) -> None:
    assert list(kinds_in(ast.parse(text)))


def test_nothing_unpickles_or_starts_a_shell_and_the_linter_is_silenced_in_no_line() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for pattern in FORBIDDEN:
                assert not re.search(pattern, path.read_text()), (path, pattern)


def test_each_file_that_the_linter_lets_start_programs_is_in_the_table() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    ignored = {pattern for pattern, rules in lint["per-file-ignores"].items() if "S603" in rules} - {"tests/**"}
    files = {str(path.relative_to(ROOT)) for pattern in ignored for path in expanded(pattern)}
    assert files == {file for kind, file in listed() if kind == "subprocess"} - {"explorer/processes/pool.py"}


def expanded(pattern: str) -> list[Path]:
    before, _, rest = pattern.partition("{")
    names, _, after = rest.partition("}")
    return [ROOT / f"{before}{name}{after}" for name in names.split(",")]


def test_the_page_is_one_of_the_pages_that_are_checked() -> None:
    assert PAGE in PAGES
