"""Studies that select the algorithm of every layer by measuring: built and measured once, whatever network it is in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import explorer
from explorer.core import configuration
from explorer.core.configuration import Configuration
from explorer.results.tables import study_tables
from explorer.workspace.database.records import Record, Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Once, Ran

pytestmark = pytest.mark.slow

LAYERS = 4  # of the network, that an algorithm is selected for; a depthwise one and conversions are measured, too


@pytest.fixture(scope="module")
def selected(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one network, dense and with pruned weights: two networks with the same layers."""

    def study(folder: Path) -> Ran:
        events = run(folder, "weights", "none", "weight_pruning")
        return Ran(folder / "weights.toml", folder / "workspace", events)

    return once.ran("selected", study, tmp_path_factory.mktemp("selected")).space.parent


def run(
    folder: Path, name: str, *compressions: str, format: str = "dense", algorithms: Sequence[str] = ("auto",)
) -> studies.Events:
    """Run the study `name` of one network and thread count, compressed in turn by each of `compressions`."""
    axes: dict[str, Any] = {"compression": compressions, "format": format, "threads": 1}
    if not any("pruning" in compression for compression in compressions):
        axes["ratio"] = None
    path = studies.write_space(folder, name=name, models=(studies.SMALL,), algorithms=algorithms, axes=axes)
    events = studies.Events()
    summary = studies.run(path, folder / "workspace", events)
    assert (summary.complete, summary.failed) == (len(compressions) * len(algorithms), 0)
    return events


def selections(workspace: Path) -> list[dict[str, Any]]:
    """Return the values of every select artifact, in the order they were executed."""
    executed = Records(Workspace(workspace).url).executions.frame().query("stage == 'select'")["key"]
    found = [Store(Workspace(workspace).artifacts).find("select", key) for key in executed]
    return [dict(artifact.values) for artifact in found if artifact]


def built(workspace: Path) -> list[int]:
    """Return how many problems each execution of the stage candidates built."""
    executed = Records(Workspace(workspace).url).executions.frame().query("stage == 'candidates'")["key"]
    found = [Store(Workspace(workspace).artifacts).find("candidates", key) for key in executed]
    return [artifact.values["problems"] for artifact in found if artifact]


def measurements(workspace: Path) -> int:
    records = Records(Workspace(workspace).url)
    with records.engine.connect() as connection:
        return int(connection.exec_driver_sql("select count(*) from dlas_measurements").scalar_one())


def test_a_layer_measured_once_is_neither_built_nor_measured_for_another_network(selected: Path) -> None:
    first, second = selections(selected / "workspace")
    assert first["measured"] == first["problems"] > LAYERS
    assert (second["measured"], second["problems"]) == (0, first["problems"])
    assert second["expected_ms"] == pytest.approx(first["expected_ms"])
    executions = studies.executions(selected / "workspace")
    assert (executions["plan"], executions["candidates"], executions["select"], executions["lower"]) == (2, 1, 2, 2)


def test_a_later_study_measures_only_what_is_new(selected: Path) -> None:
    before = measurements(selected / "workspace")
    again = run(selected, "again", "none", "weight_pruning")
    assert again.stages == ["reach local"]
    assert measurements(selected / "workspace") == before
    run(selected, "channels", "none", "channel_pruning")
    *_, pruned = selections(selected / "workspace")
    assert 0 < pruned["measured"] < pruned["problems"]  # the first layer's input is the same
    assert measurements(selected / "workspace") > before
    assert built(selected / "workspace")[-1] == pruned["measured"]


def test_sparse_layers_are_selected_for_by_what_is_not_zero(selected: Path) -> None:
    run(selected, "sparse", "weight_pruning", format="csr")
    layers = explorer.layers(0, selected / "workspace", "sparse")
    convolutions = [layer for layer in layers if layer["operator"].endswith("conv2d")]
    assert len(convolutions) == LAYERS + 1, "the depthwise one, too"
    assert {layer["asked"] for layer in convolutions} == {"auto/csr"}
    assert all(layer["ran"] in layer["measured"] and not layer["reason"] for layer in convolutions)
    assert all(set(layer["measured"]) == {"direct/csr", "gemm/csr", "spatial_pack/csr"} for layer in convolutions)


def test_of_bytes_what_is_selected_are_their_kernels_which_share_an_accuracy(selected: Path) -> None:
    run(selected, "bytes", "int8", algorithms=("gemm", "auto"))
    frame = Records(Workspace(selected / "workspace").url).frame("bytes")
    assert frame["dtype"].to_list() == ["int8"] * 2
    assert frame["evaluate_key"].nunique() == 1
    (number,) = frame[frame["algorithm"] == "auto"]["number"]
    layers = explorer.layers(number, selected / "workspace", "bytes")
    convolutions = [layer for layer in layers if layer["operator"] == "conv2d"]
    assert len(convolutions) == LAYERS
    assert {layer["dtype"] for layer in convolutions} == {"int8"}
    assert all(layer["ran"] in layer["measured"] for layer in convolutions)
    assert not any("winograd/dense" in layer["measured"] for layer in convolutions)


def test_every_convolution_runs_as_asked_and_says_what_was_measured(selected: Path) -> None:
    records = Records(Workspace(selected / "workspace").url)
    outcome = records.outcome("weights", 0)
    assert isinstance(outcome, Record)
    assert outcome.values["convolutions"] == outcome.values["convolutions_as_asked"] > 0
    layers = explorer.layers(0, selected / "workspace", "weights")
    chosen = [layer for layer in layers if layer["operator"] == "conv2d"]
    assert {layer["asked"] for layer in chosen} == {"auto/dense"}
    assert all(layer["ran"] in layer["measured"] and not layer["reason"] for layer in chosen)
    assert all(len(layer["measured"]) > 1 for layer in chosen)


def test_the_table_of_layers_shows_the_candidates(selected: Path) -> None:
    layers = explorer.layers(0, selected / "workspace", "weights")
    *_, candidates = study_tables.layers_table(layers).columns
    assert candidates.header == "candidates (µs)"
    shown = [str(cell) for cell, layer in zip(candidates.cells, layers, strict=True) if layer["measured"]]
    assert all("gemm/dense" in cell and "direct/dense" in cell for cell in shown)
    without = study_tables.layers_table([{**layer, "measured": {}} for layer in layers])
    assert "candidates (µs)" not in [column.header for column in without.columns]


def test_a_study_killed_while_it_selects_goes_on(selected: Path, tmp_path: Path) -> None:
    studies.trained(selected / "workspace", tmp_path)
    for stage in ("candidates", "select"):
        command = [sys.executable, "-m", "tests.studies", str(selected / "weights.toml"), str(tmp_path), stage, "run"]
        killed = subprocess.run(command, check=False, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    summary = studies.run(selected / "weights.toml", tmp_path, studies.Events())
    assert (summary.complete, summary.failed) == (2, 0)
    executions = Records(Workspace(tmp_path).url).executions.frame()
    assert executions[executions["stage"] != "measure"].groupby("key").size().max() == 1


def test_raw_samples_are_kept(selected: Path) -> None:
    records = Records(Workspace(selected / "workspace").url)
    with records.engine.connect() as connection:
        rows = connection.exec_driver_sql("select samples_ms, details from dlas_measurements").all()
    layers = [json.loads(samples) for samples, details in rows if "expected_ms" in json.loads(details)]
    assert len(layers) > 2 * LAYERS
    assert all(len(samples) >= 10 and min(samples) > 0 for samples in layers)


def test_a_format_without_kernels_is_no_configuration() -> None:
    csr = Configuration(
        "digits", "resnet18", compression="weight_pruning", ratio=0.5, algorithm="winograd", format="csr"
    )
    assert configuration.why_invalid(csr) == "algorithm winograd has no kernels for format csr"
    assert configuration.why_invalid(replace(csr, algorithm="auto")) is None
