"""Tables on the pages name what there is: axes, plug-ins, settings, columns, files, packages."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import explorer
from explorer.core import plugins
from explorer.core.configuration import AXES
from explorer.core.settings import Settings
from explorer.space import devices
from explorer.space.search_options import Search
from tests import ROOT, documents
from tests.conftest import Ran
from tests.docs.pages import DEVICES, HOUSE, MODELS, OPS, RESULTS, SPACES, TUNING


def first_cells(page: Path, heading: str = "") -> set[str]:
    return {name for row in documents.rows(page, heading) for name in documents.code(row[0])}


def test_the_table_of_axes_is_complete() -> None:
    text = SPACES.read_text() + TUNING.read_text()
    for axis in AXES:
        assert f"| `{axis}` |" in text
    for kind in ("dataset", "model", "compression", "algorithm", "sampler", "tuner"):
        for name in plugins.names(kind):
            assert f"`{name}`" in text, f"{kind} {name}"


def test_plugins_are_described() -> None:
    assert first_cells(MODELS, "## Data sets") == set(plugins.names("dataset"))
    assert first_cells(TUNING, "## Samplers") == set(plugins.names("sampler"))
    for name in plugins.names("compression"):
        assert name == "none" or f"`{name}`" in MODELS.read_text()
    pretrained = {name for name in plugins.names("model") if plugins.literal("model", name, "PRETRAINED")}
    (listed,) = re.findall(r'`"pretrained"` downloads (.*?) at width 1', MODELS.read_text(), re.DOTALL)
    assert set(documents.code(listed)) - {"torch.hub"} == pretrained


def test_the_table_of_algorithms_is_so() -> None:
    table = {documents.code(row[0])[0]: row for row in documents.rows(OPS, "## Algorithms")}
    assert set(table) == set(plugins.names("algorithm"))
    for name, (_, _, formats, dtypes) in table.items():
        assert tuple(formats.split(", ")) == plugins.literal("algorithm", name, "FORMATS")
        assert tuple(dtypes.split(", ")) == plugins.literal("algorithm", name, "DTYPES")


def test_the_account_of_a_layer_is_described() -> None:
    import dlas_ops

    fields = set(inspect.signature(dlas_ops.Layer).parameters)
    assert first_cells(OPS, "## The account") == fields


@pytest.mark.parametrize("table", ["search", *Settings.model_fields])
def test_the_tables_of_settings_are_so(table: str) -> None:
    shown = {documents.code(row[0])[0]: row[1] for row in documents.rows(SPACES, f"### `[{table}]`")}
    fields = (Search if table == "search" else type(getattr(Settings(), table))).model_fields
    assert set(shown) == set(fields)
    for name, field in fields.items():
        default = "".join(documents.code(shown[name]))  # none is shown where there is none
        expected = list(field.default) if isinstance(field.default, tuple) else field.default
        assert (tomllib.loads(f"default = {default}")["default"] if default else None) == expected, name


def test_the_keys_of_a_device_are_described() -> None:
    assert first_cells(DEVICES, "## The devices file") == set(devices.Device.model_fields) - {"name"}


@pytest.mark.slow
def test_the_columns_of_a_table_are_described(grid: Ran) -> None:
    assert set(explorer.frame(grid.workspace).columns) - first_cells(RESULTS, "## Tables") == set()


@pytest.mark.slow
def test_the_files_of_a_workspace_are_described(documented: Path) -> None:
    workspace = documented / "workspace"
    described = [name for row in documents.rows(RESULTS, "## The workspace") for name in documents.code(row[0])]
    tops = {name.split("/")[0] for name in described}
    assert {path.name for path in workspace.iterdir() if path.suffix not in (".html", ".db-wal", ".db-shm")} <= tops
    below = {name.split("/")[1] for name in described if name.startswith("artifacts/")}
    folders = {path.name for path in (workspace / "artifacts").iterdir()}
    assert folders <= below
    executed = folders & set(plugins.names("stage"))
    assert {"train", "build"} <= executed
    for name in described:
        _, _, rest = name.partition("/")
        if name.startswith("artifacts/") and rest.split("/")[0] in executed:
            assert list(workspace.glob(re.sub(r"<\w+>", "*", name))), name
    assert plugins.names("stage") == tuple(sorted(below & set(plugins.names("stage")) | {"measure"}))


@pytest.mark.parametrize("package", ["explorer", "dlas_ops"])
def test_the_packages_stand_in_their_order(package: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == [package])
    layers = [layer.split(" | ") for layer in layers]
    names = [documents.code(row[0]) for row in documents.rows(HOUSE, "## The house")]
    start = names.index(layers[0])
    assert names[start : start + len(layers)] == layers
