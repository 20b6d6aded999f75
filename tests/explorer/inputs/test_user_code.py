"""Code of the user's own: found without being imported, and its digest follows every edit that may change a result."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from explorer.core.errors import SpaceError
from explorer.inputs import user_code

FILES = {
    "nets.py": "import helpers\nfrom lib.blocks import block\nraise SystemExit('nothing is imported')\n",
    "helpers.py": "SIZE = 3\n",
    "lib/__init__.py": "",
    "lib/blocks.py": "from . import deep\nfrom .deep.more import x\nimport nets\n",
    "lib/deep/__init__.py": "import torch, os.path\nfrom explorer import models\nfrom .... import beyond\n",
    "lib/deep/more.py": "x = 1\n",
    "lib/unused.py": "y = 1\n",
    "unused.py": "not python at all\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "user" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "user" / name).write_text(text)
    return tmp_path / "user"


def key(folder: Path, name: str = "nets:build") -> str:
    return user_code.find(name, [folder], folder.parent / "digests.db").key


def test_an_edit_of_whatever_a_module_imports_of_its_folder_changes_the_digest(folder: Path) -> None:
    keys = {key(folder)}
    used = [name for name in FILES if "unused" not in name]
    for name in used:
        with (folder / name).open("a") as handle:
            handle.write("# edited\n")
        keys.add(key(folder))
    assert len(keys) == 1 + len(used)
    for name in FILES.keys() - used:
        (folder / name).write_text("edited\n")
    assert key(folder) in keys


def test_neither_the_place_nor_the_function_enters_the_digest(folder: Path) -> None:
    first = key(folder)
    moved = folder.rename(folder.parent / "moved")
    assert key(moved, "nets:other") == first
    assert user_code.find("nets:build", [moved], moved.parent / "digests.db").path == moved


def test_packages_around_a_module_are_part_of_it_and_not_imported(folder: Path) -> None:
    (folder / "lib" / "__init__.py").write_text("raise SystemExit\n")
    first = key(folder, "lib.deep.more:x")
    (folder / "lib" / "__init__.py").write_text("raise SystemExit(1)\n")
    assert key(folder, "lib.deep.more:x") != first
    assert not {"lib", "nets"} & set(sys.modules)


def test_the_first_folder_that_has_the_module_counts(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "helpers.py").write_text("")
    found = user_code.find("helpers:SIZE", [other, folder], tmp_path / "digests.db")
    assert found.path == other


def test_a_module_of_an_installed_package_counts_by_the_packages_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = key(tmp_path, "torchvision.models.resnet:resnet18")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "another")
    assert key(tmp_path, "torchvision.models.resnet:resnet18") != first


@pytest.mark.parametrize("module", ["missing", "lib.missing", "missing.nets", "helpers.nets"])
def test_a_module_that_does_not_exist_is_an_error_that_says_where_it_was_looked_for(module: str, folder: Path) -> None:
    with pytest.raises(SpaceError, match=rf"'{module}:build': there is no module '{module}' in .*user"):
        key(folder, f"{module}:build")


def test_a_module_that_is_no_python_is_an_error_with_its_line(folder: Path) -> None:
    (folder / "lib" / "blocks.py").write_text("x = 1\ndef broken(:\n")
    with pytest.raises(SpaceError, match=r"lib/blocks\.py:2: not valid Python: "):
        key(folder)


@pytest.mark.parametrize(
    ("file", "imports", "other"),
    [
        ("random.py", "import random", "of Python's standard library"),
        ("tvm.py", "from tvm import relax", r"installed in .*tvm/__init__\.py"),
        ("numpy/__init__.py", "import numpy as np", r"installed in .*numpy/__init__\.py"),
    ],
)
def test_a_file_with_the_name_of_another_module_is_in_the_way_only_of_code_that_imports_it(
    file: str, imports: str, other: str, folder: Path
) -> None:
    before = key(folder)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("")
    assert key(folder) == before
    (folder / "lib" / "deep" / "more.py").write_text(f"def late():\n    {imports}\n")
    top = file.split("/")[0].removesuffix(".py")
    with pytest.raises(SpaceError, match=rf"'nets:build': .*{file} is in the way of the module '{top}' {other}"):
        key(folder)
