"""Whole studies: nothing computed twice, every configuration on record once, failures recorded, damage mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
import pytest

import explorer
from explorer.core.errors import Failure, WorkspaceError
from explorer.line.trials import dry_run
from explorer.search.refinement import REPEATS
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Ran
from tests.explorer.search.recorded import copied, sessions_of, study_of
from tests.studies import Events

pytestmark = pytest.mark.slow


def test_a_grid_over_two_models_trains_two(grid: Ran) -> None:
    assert len(grid.events.outcomes) == 16
    assert not any(isinstance(outcome, Failure) for outcome in grid.events.outcomes.values())
    expected = {"data": 1, "train": 2, "compress": 4, "lower": 8, "build": 8}
    expected |= {"evaluate": 4, "control": 1}
    executed = studies.executions(grid.workspace)
    sessions = executed.pop("measure")
    assert executed == expected
    assert sessions >= 2 * 16
    assert sessions == sum(len(own) for own in sessions_of(grid.workspace, "grid").values())


def test_every_stack_has_its_sessions_and_the_record_says_what_all_of_them_tell(grid: Ran) -> None:
    records = Records(Workspace(grid.workspace).url)
    most = space.load(grid.space).settings.measure.most_sessions
    for number, own in sessions_of(grid.workspace, "grid").items():
        assert 2 <= len(own) <= most
        ((_, _, record),) = records.complete("grid", [number])
        known = records.sessions.latencies()[record.values["measure_key"], "local"]
        assert known.as_columns(1) == {name: record.values[name] for name in known.as_columns(1)}
        assert known.taken == len(own)
        assert known.quiet >= 2 or len(own) == min(2 + REPEATS, most), "disturbed ones are repeated as often as may be"


def test_every_configuration_once_and_optuna_has_the_same_values(grid: Ran) -> None:
    frame = Records(Workspace(grid.workspace).url).frame("grid")
    assert frame["configuration_id"].nunique() == len(frame) == 16
    trials = study_of(grid.workspace, "grid").trials
    assert [t.number for t in trials] == frame["number"].to_list()
    for t, row in zip(trials, frame.to_dict("records"), strict=True):
        first, *_ = sessions_of(grid.workspace, "grid")[t.number]
        assert t.values == [row["accuracy"], first.median_ms, row["size_bytes"]], "as the trial ended"
        assert t.user_attrs["configuration"] == row["configuration_id"]


def test_records_are_plausible(grid: Ran) -> None:
    frame = Records(Workspace(grid.workspace).url).frame("grid")
    assert ((frame["latency_low_ms"] <= frame["latency_ms"]) & (frame["latency_ms"] <= frame["latency_high_ms"])).all()
    assert (frame["latency_ms"] > 0).all()
    assert (frame["latency_sessions"] >= 1).all()
    by_network = frame.groupby(["model", "compression"])
    assert (by_network["accuracy"].nunique() == 1).all(), "algorithms of one network share its accuracy"
    assert (frame["accuracy"] == frame["torch_accuracy"]).all()
    assert ((frame["accuracy_low"] < frame["accuracy"]) & (frame["accuracy"] < frame["accuracy_high"])).all()
    assert (frame["agreement"] == 1).all()
    sizes = by_network["size_bytes"].median().unstack()
    assert (sizes["channel_pruning"] < sizes["none"]).all()


def test_a_second_run_executes_nothing(grid: Ran) -> None:
    before = studies.executions(grid.workspace)
    events = Events()
    summary = studies.run(grid.space, grid.workspace, events)
    assert (summary.added, summary.complete, summary.failed) == (0, 16, 0)
    assert not events.stages
    assert studies.executions(grid.workspace) == before


def test_another_study_in_the_workspace_reuses_everything(grid: Ran, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(grid.workspace, workspace)
    before = studies.executions(workspace)
    summary = studies.run(studies.write_space(tmp_path, name="again"), workspace, Events())
    assert summary.complete == 16
    assert studies.executions(workspace) == before


def test_a_corrupt_artifact_is_rebuilt_and_said(grid: Ran, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(grid.workspace, workspace)
    library = next((workspace / "artifacts" / "build").rglob("network.tar"))
    library.write_bytes(library.read_bytes()[:-1] + b"x")
    events = Events()
    studies.run(studies.write_space(tmp_path, name="again"), workspace, events)
    assert [note for note in events.notes if "corrupt" in note and str(library) in note]
    assert studies.executions(workspace)["build"] == 9
    assert Store(workspace / "artifacts").damage("build", library.parent.name) is None


def test_a_failing_stage_fails_its_trials_and_the_study_goes_on(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, models=(studies.SMALL,), algorithms=("gemm",), train={"learning_rate": 1e3})
    events = Events()
    summary = studies.run(path, tmp_path / "workspace", events)
    assert (summary.complete, summary.failed) == (0, 4)
    assert {(o.stage, o.kind) for o in events.outcomes.values() if isinstance(o, Failure)} == {("train", "not_finite")}
    assert studies.executions(tmp_path / "workspace")["train"] == 1, "the shared failure is not provoked four times"
    states = {t.state for t in study_of(tmp_path / "workspace", "grid").trials}
    assert states == {optuna.trial.TrialState.FAIL}


def test_what_cannot_be_had_fails_with_its_reason(undisturbed: Path, tmp_path: Path) -> None:
    path = studies.write_space(
        tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), measure={"tolerance": 1e-12}
    )
    events = Events()
    summary = studies.run(path, copied(undisturbed, tmp_path), events)
    assert summary.complete == 0
    assert summary.failed >= 2
    for outcome in events.outcomes.values():
        assert isinstance(outcome, Failure)
        assert (outcome.stage, outcome.kind) == ("evaluate", "wrong_output")
        assert "allowed: 1e-12; outputs part in layer" in outcome.message


def test_an_algorithm_that_no_layer_can_run_fails_with_its_reason(tmp_path: Path) -> None:
    model = "tests.custom_plugins:halving"
    axes = {"compression": "none", "ratio": None}
    path = studies.write_space(tmp_path, name="small", models=(model,), algorithms=("winograd",), axes=axes)
    events = Events()
    assert studies.run(path, tmp_path / "workspace", events).failed == 2
    for outcome in events.outcomes.values():
        assert isinstance(outcome, Failure)
        assert (outcome.stage, outcome.kind) == ("lower", "not_applicable")
        assert outcome.message == (
            "no convolution can run as winograd in format dense: winograd is for stride 1 and dilation 1"
        )


def test_pruned_weights_in_csr_take_less_room(grid: Ran, tmp_path: Path) -> None:
    axes = {"compression": "weight_pruning", "ratio": 0.9, "format": ["dense", "csr"], "threads": 1}
    path = studies.write_space(tmp_path, name="small", models=("resnet18",), algorithms=("gemm",), axes=axes)
    summary = studies.run(path, copied(grid.workspace.parent, tmp_path), Events())
    assert (summary.complete, summary.failed) == (2, 0)
    trials = Records(Workspace(tmp_path / "workspace").url).frame("small").set_index("format")
    for size in (trials["size_bytes"], trials["weight_bytes"]):
        assert size["csr"] < 0.5 * size["dense"]
    assert trials["weight_bytes_before"].eq(4 * trials["weights"]).all()
    assert (trials["weight_bytes"] < trials["size_bytes"]).all()
    stored = sum(layer["stored_bytes"] for layer in explorer.layers(1, tmp_path / "workspace", "small"))
    assert stored == trials["weight_bytes"].iloc[1]


def test_a_multiple_named_vector_is_that_of_the_target_and_shares_its_network(
    undisturbed: Path, tmp_path: Path
) -> None:
    axes = {"compression": "channel_pruning", "channel_multiple": [4, 8, 16, "vector"], "threads": 1}
    path = studies.write_space(tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), axes=axes)
    workspace = copied(undisturbed, tmp_path)
    shutil.rmtree(workspace / "artifacts" / "compress")
    summary = studies.run(path, workspace, Events())
    assert (summary.complete, summary.failed) == (4, 0)
    trials = Records(Workspace(tmp_path / "workspace").url).frame("small").set_index("channel_multiple")
    lanes = int(trials["kept_in_multiples_of"]["vector"])
    assert lanes in (4, 8, 16)
    assert trials["compress_key"].to_dict()["vector"] == trials["compress_key"].to_dict()[lanes]
    assert studies.executions(tmp_path / "workspace")["compress"] == 3


def test_batches_share_an_accuracy_and_are_measured_apart(tmp_path: Path) -> None:
    axes = {"compression": "none", "ratio": None, "batch": [1, 4], "threads": 1}
    path = studies.write_space(tmp_path, name="small", models=(studies.SMALL,), algorithms=("gemm",), axes=axes)
    summary = studies.run(path, tmp_path / "workspace", Events())
    assert (summary.complete, summary.failed) == (2, 0)
    trials = Records(Workspace(tmp_path / "workspace").url).frame("small").set_index("batch")
    assert sorted(trials.index) == [1, 4]
    assert (trials["latency_ms"] > 0).all()
    assert trials["accuracy"].nunique() == trials["evaluate_key"].nunique() == 1
    assert trials["measure_key"].nunique() == 2
    executed = studies.executions(tmp_path / "workspace")
    assert executed.pop("measure") >= 2 * 2
    counts = {each.stage: each.distinct for each in dry_run.count(space.load(path))}
    assert counts == {"data": 1, "train": 1, "compress": 1, "lower": 2, "build": 2, "evaluate": 1, "measure": 2}
    assert counts.items() - executed.items() == {("measure", 2)}
    layers = [explorer.layers(number, tmp_path / "workspace", "small") for number in (0, 1)]
    assert sorted({layer["input"][0] for layer in own} for own in layers) == [{1}, {4}]


def test_a_study_of_another_space_is_refused(grid: Ran, tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, name="grid", models=("resnet18",))
    with pytest.raises(WorkspaceError, match="other axes"):
        studies.run(path, grid.workspace, Events())
