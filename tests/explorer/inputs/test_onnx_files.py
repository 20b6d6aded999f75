"""ONNX files of a space: where they lie, what is in their keys, and what ends a study before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from explorer.inputs import external, onnx_files
from explorer.search import search
from explorer.space import space
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace
from tests.explorer.line.adopting import files
from tests.explorer.spaces import render
from tests.studies import Events

MODEL = "onnx:nets/a.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets").mkdir()
    (tmp_path / "w").mkdir()
    return tmp_path


def made(folder: Path, model: object = MODEL, tables: Mapping[str, Any] = MappingProxyType({}), **axes: Any) -> Space:
    path = folder / "drawn.toml"
    path.write_text(render({"dataset": "digits", "model": model, "algorithm": "direct", **axes}, **tables))
    return space.load(path)


def key(folder: Path, model: str = MODEL) -> str:
    return onnx_files.find(made(folder, model), Workspace(folder / "w"))[model].key


def test_the_contents_with_those_of_weights_beside_are_the_key(folder: Path) -> None:
    files.save(folder / "nets", name="a.onnx")
    first = key(folder)
    (folder / "elsewhere").mkdir()
    shutil.copy(folder / "nets" / "a.onnx", folder / "elsewhere" / "b.onnx")
    assert key(folder, "onnx:elsewhere/b.onnx") == first
    assert key(folder, f"onnx:{folder}/nets/a.onnx") == first
    files.save(folder / "nets", files.network(constants=files.weights(seed=1)), "a.onnx", beside=True)
    apart = key(folder)
    data = folder / "nets" / "a.onnx.data"
    data.write_bytes(data.read_bytes() + b"?")
    assert len({first, apart, key(folder)}) == 3


def test_only_the_file_is_a_parent_of_the_stage_that_adopts_it(folder: Path) -> None:
    files.save(folder / "nets", name="a.onnx")
    found = external.find(made(folder, ["resnet18", MODEL]), Workspace(folder / "w"))
    parents = found.parents(Configuration("digits", MODEL))
    assert parents["train"] == {"network": found.onnx[MODEL]}
    assert found.parents(Configuration("digits", "resnet18"))["train"] == {}
    assert found.digests() == {f"file of {MODEL}": found.onnx[MODEL].key}, (
        "a study whose file has changed does not go on"
    )


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    files.save(folder / "nets", name="digits.onnx")
    with pytest.raises(
        SpaceError, match=r"model onnx:nets/digts.onnx: there is no file .*; did you mean 'digits.onnx'\?"
    ):
        key(folder, "onnx:nets/digts.onnx")
    with pytest.raises(SpaceError, match=r"there is no file .*; its path starts from the folder of the search space"):
        key(folder, "onnx:x.onnx")


def test_a_network_for_other_images_ends_a_study_before_it_begins(folder: Path) -> None:
    files.save(folder / "nets", files.network(image=("n", 3, 32, 32)), "a.onnx")
    events = Events()
    message = f"drawn.toml: model {MODEL}: on data set digits: the network takes images of 3x32x32, and the data set"
    with pytest.raises(SpaceError, match=message):
        search.run(made(folder), Workspace(folder / "w"), events)
    assert not events.stages


def test_sizes_that_only_the_data_stage_knows_are_not_held_against_a_file(folder: Path) -> None:
    files.save(folder / "nets", files.network(image=("n", 1, 16, 16)), "a.onnx")
    asked, workspace = made(folder), Workspace(folder / "w")
    with pytest.raises(SpaceError, match="takes images of 1x16x16, and the data set has 1x8x8"):
        external.check(asked, external.find(asked, workspace), workspace)
    asked.path.write_text(f"{asked.path.read_text()}[data]\nresize = 16\n")
    asked = space.load(asked.path)
    external.check(asked, external.find(asked, workspace), workspace)


OWN = """
from pathlib import Path
import numpy as np
from explorer.datasets import Held, Splits

HERE = Path(__file__).parent

def masks(options):
    images, found = np.zeros((9, 1, 8, 8), np.uint8), np.zeros((9, 8, 8), np.uint8)
    return Splits(*(Held(images, found) for _ in range(3)), ("dark", "bright"))

def weighed(predictions, targets):
    assert predictions.shape[1:] == (4, 8, 8) and targets.shape[1:] == (8, 8)
    return float(np.loadtxt(HERE / "weight.txt"))
"""


def test_what_is_known_of_an_own_data_set_is_held_against_a_file_and_its_metric_is_tried(folder: Path) -> None:
    (folder / "own.py").write_text(OWN)
    (folder / "weight.txt").write_text("1")
    files.save(folder / "nets", files.network(files.TAIL[:2]), "a.onnx")
    asked = made(folder, dataset="own:masks", tables={"evaluate": {"metric": "own:weighed"}})
    workspace = Workspace(folder / "w")
    found = external.find(asked, workspace)
    external.check(asked, found, workspace)
    (folder / "weight.txt").write_text("2")
    assert external.find(asked, workspace).code["own:weighed"].key != found.code["own:weighed"].key
    files.save(folder / "nets", files.network(files.TAIL[:2], image=("n", 1, 16, 16)), "a.onnx")
    with pytest.raises(SpaceError, match="on data set own:masks: the network takes images of 1x16x16, and the data"):
        external.check(asked, external.find(asked, workspace), workspace)
