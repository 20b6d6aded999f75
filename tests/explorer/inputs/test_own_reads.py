"""Files that code of the user's own reads, in whatever way, are part of it; real workers import it and call it."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from explorer.core.errors import SpaceError
from explorer.inputs import external, user_code
from explorer.inputs.external import ExternalInputs
from explorer.space.space import Space, load
from explorer.space.toml import space_file
from explorer.workspace.workspace import Workspace
from tests.explorer import spaces

HEAD = """
import gzip, importlib, importlib.util, json, os, pickle, pkgutil, runpy, sqlite3
from pathlib import Path
import numpy as np
import torch
import yaml
from torch import nn

HERE = Path(__file__).parent
"""
NETWORK = """
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
"""

# What a model does → the file that it reads. `{way}` stands for the model's name.
WAYS: Mapping[str, tuple[str, str]] = {
    "by_name": ("importlib.import_module('parts_by_name')", "parts_by_name.py"),
    "dunder": ("__import__('parts_dunder')", "parts_dunder.py"),
    "relative": ("importlib.import_module('.deep', 'package')", "package/deep.py"),
    "package_of": ("importlib.import_module('outer.inner')", "outer/__init__.py"),
    "from_location": (
        "found = importlib.util.spec_from_file_location('any', HERE / 'odd name.py')\n"
        "    found.loader.exec_module(importlib.util.module_from_spec(found))",
        "odd name.py",
    ),
    "run": ("runpy.run_path(str(HERE / 'script.py'))", "script.py"),
    "executed": ("exec(open(HERE / 'executed.txt').read())", "executed.txt"),
    "plugins": (
        "[importlib.import_module(f'plugged.{each.name}') for each in pkgutil.iter_modules([str(HERE / 'plugged')])]",
        "plugged/one.py",
    ),
    "in_json": ("json.loads((HERE / 'arch.json').read_text())", "arch.json"),
    "in_yaml": ("yaml.safe_load((HERE / 'arch.yaml').open())", "arch.yaml"),
    "in_numpy": ("np.load(HERE / 'values.npy', mmap_mode='r')", "values.npy"),
    "in_text": ("np.loadtxt(HERE / 'values.txt')", "values.txt"),
    "in_torch": ("torch.load(HERE / 'weights.pt', weights_only=True)", "weights.pt"),
    "packed": ("gzip.open(HERE / 'list.gz').read()", "list.gz"),
    "low_level": ("os.close(os.open(HERE / 'low.bin', os.O_RDONLY))", "low.bin"),
    "database": ("sqlite3.connect(HERE / 'layers.db').execute('SELECT * FROM layers')", "layers.db"),
    "by_width": ("(HERE / f'of-{width:g}-{classes}-{shape[1]}.txt').read_text()", "of-0.5-10-8.txt"),
    "elsewhere": ("os.chdir(HERE / 'sub'); open('relative.txt').read()", "sub/relative.txt"),
    "linked": ("(HERE / 'linked.txt').read_text()", "linked.txt"),
    "listed": ("[each.read_text() for each in sorted((HERE / 'many').glob('*.cfg'))]", "many/new.cfg"),
}
UNREAD = ("notes.txt", "many/readme.md", "written.txt", ".hidden/cache.txt", "of-2-10-8.txt")


def write(folder: Path) -> None:
    """Write a module for each of `WAYS`, and the files that they read."""
    for way, (does, file) in WAYS.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / f"{way}.py").write_text(f"{HEAD}\ndef build(width, classes, shape):\n    {does}\n{NETWORK}")
        (folder / file).write_text("")
    for package in ("package", "plugged"):
        (folder / package / "__init__.py").touch()
    (folder / "outer" / "inner.py").touch()
    for text in ("arch.json", "arch.yaml", "values.txt", "of-0.25-10-8.txt"):
        (folder / text).write_text("1")
    np.save(folder / "values.npy", np.zeros(2))
    torch.save({"a": torch.zeros(1)}, folder / "weights.pt")
    with sqlite3.connect(folder / "layers.db") as database:
        database.execute("CREATE TABLE layers (name)")
    database.close()
    (folder / "list.gz").unlink()
    gzip.open(folder / "list.gz", "w").close()
    (folder / "many" / "old.cfg").touch()
    (folder / "many" / "new.cfg").unlink()
    (folder / "outside.txt").touch()
    (folder / "linked.txt").unlink()
    (folder / "linked.txt").symlink_to(folder / "outside.txt")
    (folder / ".hidden").mkdir()


@pytest.fixture
def user(tmp_path: Path) -> Path:
    (tmp_path / "user").mkdir()
    return tmp_path / "user"


@pytest.fixture
def workspace(user: Path) -> Workspace:
    (user / "workspace").mkdir()
    return Workspace(user / "workspace")


def space(user: Path, axes: Mapping[str, Any], **tables: Mapping[str, Any]) -> Space:
    path = user / "space.toml"
    path.write_text(spaces.render({"dataset": "digits", "threads": 1, **axes}, (), "own", **tables))
    return load(path, space_file.BUNDLED / space_file.DEVICES_FILE)


def keys(found: ExternalInputs) -> dict[str, str]:
    return {name.partition(":")[0]: code.key for name, code in found.code.items()}


def test_whatever_a_model_reads_when_it_is_built_is_part_of_it(user: Path, workspace: Workspace) -> None:
    write(user)
    own = space(user, {"model": [f"{way}:build" for way in WAYS], "width": [0.25, 0.5]})
    first = external.find(own, workspace)
    before = keys(first)
    assert len(first.tried) == len(WAYS)
    for name in UNREAD:
        (user / name).write_text("edited")
    again = external.find(own, workspace)
    assert keys(again) == before
    assert not again.tried, "nothing that they read has changed, so that no worker is started"

    for _, file in WAYS.values():
        with (user / file).open("ab") as handle:
            handle.write(b"\n")
    after = external.find(own, workspace)
    assert {way for way in WAYS if keys(after)[way] == before[way]} == set()
    assert len(after.tried) == len(WAYS)
    (user / "arch.json").write_text("2")
    third = keys(external.find(own, workspace))
    assert {way for way in WAYS if third[way] != keys(after)[way]} == {"in_json"}


DATA = """
import json
from pathlib import Path
import numpy as np
from explorer.datasets import Held, Splits

HERE = Path(__file__).parent

def load(options):
    images = np.load(HERE / "images.npz")
    held = Held(images["pixels"], images["labels"])
    return Splits(held, held, held, ("a", "b", "c"))

def build(width, classes, shape):
    assert (classes, shape) == (3, (2, 12, 10))
    (HERE / f"of-{classes}.txt").read_text()
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(240, 3))

def shrink(model, ratio, example, fine_tune):
    fine_tune(model, 0.5)
    plan = json.loads((HERE / f"plan-{ratio:g}-{len(model)}.json").read_text())
    return model

def same(model, ratio, example, fine_tune):
    return model
"""


def test_data_sets_and_compressions_count_what_they_read_and_models_are_built_for_their_images(
    user: Path, workspace: Workspace
) -> None:
    (user / "data.py").write_text(DATA)
    np.savez(user / "images.npz", pixels=np.zeros((6, 2, 12, 10), np.uint8), labels=np.arange(6) % 3)
    for name in ("of-3.txt", "plan-0.5-2.json", "plan-0.75-2.json"):
        (user / name).write_text("1")
    compressions = ["data:shrink", "data:same"]
    axes = {"dataset": "data:load", "model": "data:build", "compression": compressions, "ratio": [0.5, 0.75]}
    own = space(user, axes)
    before = external.find(own, workspace).code
    reads = {"images.npz": "data:load", "of-3.txt": "data:build", "plan-0.75-2.json": "data:shrink"}
    for file, name in reads.items():
        kept = (user / file).read_bytes()
        (user / file).write_bytes(kept + b" ")
        after = external.find(own, workspace).code
        assert {each for each in after if after[each].key != before[each].key} == {name}
        (user / file).write_bytes(kept)
    assert {name: code.key for name, code in external.find(own, workspace).code.items()} == {
        name: code.key for name, code in before.items()
    }


PLAIN = "import helper\ndef build(width, classes, shape):" + NETWORK.replace("nn.", "helper.nn.")


def test_files_that_the_space_names_are_part_of_the_code(user: Path, workspace: Workspace) -> None:
    (user / "nets.py").write_text(PLAIN)
    (user / "helper.py").write_text("from torch import nn\n")
    axes = {"model": "nets:build"}
    plain = keys(external.find(space(user, axes), workspace))
    files = ["tables/*.json", "native"]
    with pytest.raises(
        SpaceError, match=r"space.toml: \[own\] files has 'tables/\*.json', which no file in .* matches"
    ):
        external.find(space(user, axes, own={"files": files}), workspace)
    for name in ("tables/a.json", "native/deep/kernel.so"):
        (user / name).parent.mkdir(parents=True)
        (user / name).write_text("{}")
    stated = space(user, axes, own={"files": files})
    first = keys(external.find(stated, workspace))
    assert first != plain
    assert stated.settings.model_dump() == space(user, axes).settings.model_dump(), "earlier studies can go on"
    seen = {first["nets"]}
    for name in ("tables/a.json", "native/deep/kernel.so", "tables/b.json"):
        (user / name).write_text("[]")
        seen.add(keys(external.find(stated, workspace))["nets"])
    assert len(seen) == 4
    assert keys(external.find(space(user, axes, own={"files": ["helper.py"]}), workspace)) == plain


def test_code_that_reads_nothing_more_has_the_key_of_its_modules(user: Path, workspace: Workspace) -> None:
    (user / "nets.py").write_text(PLAIN)
    (user / "helper.py").write_text("from torch import nn\n")
    found = external.find(space(user, {"model": "nets:build"}), workspace)
    assert found.code["nets:build"].key == user_code.find("nets:build", [user], workspace.digests).key


def test_modules_of_one_name_in_two_folders_are_refused(
    user: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user / "nets.py").write_text(PLAIN)
    (user / "helper.py").write_text("from torch import nn\n")
    (tmp_path / "helper.py").touch()
    (tmp_path / "tools.py").write_text("import helper\n")
    monkeypatch.chdir(tmp_path)
    own = space(user, {"model": "nets:build", "compression": "tools:shrink", "ratio": 0.5})
    with pytest.raises(SpaceError, match=r"tmp.*/helper and .*/helper are modules of one name"):
        external.find(own, workspace)
