"""One configuration evaluated by itself."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import explorer
from explorer.core.configuration import Configuration
from explorer.core.errors import ExplorerError, SpaceError
from explorer.space import space
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Ran
from tests.explorer.searched import searched
from tests.explorer.spaces import SMALL, write
from tests.studies import Events


@pytest.mark.slow
def test_a_stack_that_a_study_has_evaluated_costs_nothing_and_is_no_second_trial(grid: Ran) -> None:
    before = studies.executions(grid.workspace)
    records = Records(Workspace(grid.workspace).url)
    for number, configuration, record in records.complete("grid", [3, 11]):
        values = explorer.evaluate(grid.space, configuration.as_dict(), grid.workspace, observer=Events())
        assert Record(values) == record, number
    assert studies.executions(grid.workspace) == before
    assert records.count("grid") == (16, 0, 0)


@pytest.mark.slow
def test_a_stage_that_fails_is_an_error_with_its_reason(undisturbed: Path, tmp_path: Path) -> None:
    workspace = studies.trained(undisturbed / "workspace", tmp_path / "w")
    path = tmp_path / "failing.toml"
    path.write_text(studies.write_space(tmp_path, models=(studies.SMALL,)).read_text() + "tolerance = 1e-30\n")
    configuration = Configuration("digits", studies.SMALL, 0.25).as_dict()
    with pytest.raises(ExplorerError, match=r"^evaluate failed \(wrong_output\): "):
        explorer.evaluate(path, configuration, workspace, observer=Events())


def test_what_is_not_in_the_space_is_not_evaluated(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    with pytest.raises(SpaceError, match="no configuration with model vgg16"):
        explorer.evaluate(path, Configuration("digits", "vgg16").as_dict(), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_row_of_a_table_names_a_configuration(tmp_path: Path) -> None:
    searched = space.load(write(tmp_path, SMALL))
    for configuration in searched.configurations():
        row = {name: math.nan if value is None else value for name, value in configuration.as_dict().items()}
        if configuration.channel_multiple:
            row["channel_multiple"] = 8.0
        assert searched.configuration(row).id == configuration.id
    assert searched.configuration({"dataset": "digits", "model": "resnet18"}).algorithm == "direct"
    with pytest.raises(SpaceError, match=r"unknown axis 'modell' of a configuration; .* did you mean 'model'\?"):
        searched.configuration({"dataset": "digits", "modell": "resnet18"})
    with pytest.raises(SpaceError, match="a configuration without a model: "):
        searched.configuration({"dataset": "digits"})


@pytest.mark.slow
def test_trials_are_measured_again_and_their_sessions_add_up(grid: Ran, tmp_path: Path) -> None:
    shutil.copytree(grid.workspace, tmp_path / "w")
    records = Records(Workspace(tmp_path / "w").url)
    before = {number: record.values for number, _, record in records.complete("grid")}
    rows = explorer.measure([5, 2], tmp_path / "w", sessions=2, space=grid.space, observer=Events())
    assert rows["number"].tolist() == [2, 5]
    after = {number: record.values for number, _, record in records.complete("grid")}
    for number, values in after.items():
        key = values["measure_key"]
        taken = len(records.sessions.of(key, "local"))
        more = 2 if number in (2, 5) else 0
        assert taken == len(Records(Workspace(grid.workspace).url).sessions.of(key, "local")) + more
        known = records.sessions.latencies()[key, "local"]
        assert {name: values[name] for name in known.as_columns(1)} == known.as_columns(1)
        same = ("accuracy", "size_bytes", "macs", "build_key", "measure_key")
        assert {name: values[name] for name in same} == {name: before[number][name] for name in same}
    (observation, *_) = reversed(records.measurements.of(after[2]["measure_key"], "local"))
    details = observation["details"]
    assert (details["no_control"], details["relative_error"]) == ("", None), "compared in the first session alone"
    assert len(details["readings"]["arithmetic_ms"]) == len(observation["samples_ms"]) + 1
    assert details["state"]["after"]["busy_s"] >= details["state"]["before"]["busy_s"]


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """The workspace of a study as a run leaves it behind; its space is beside it."""
    return searched(tmp_path)[0].root


@pytest.mark.parametrize(
    ("trials", "options", "message"),
    [
        ([99], {}, "no finished trial 99; its last is 11"),
        ([3, 4], {}, "trial 4 is failed and has no latency to measure again"),
        ([3], {"sessions": 0}, "sessions 0 is below 1"),
        ([3], {"study": "drawm"}, "did you mean 'drawn'?"),
        ([3], {"engine": "lokal"}, "unknown engine 'lokal'"),
        ([3], {"space": "quickstart"}, "is the space of study 'quickstart', not of 'drawn'"),
        ([3], {"space": "/nowhere/drawn.toml"}, "/nowhere/drawn.toml"),
    ],
)
def test_what_cannot_be_measured_again_is_said(
    drawn: Path, trials: list[int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExplorerError, match=re.escape(message)) as caught:
        explorer.measure(trials, drawn, observer=Events(), **options)
    assert "\n" not in str(caught.value)


def test_a_space_file_that_is_gone_is_named(drawn: Path) -> None:
    (drawn.parent / "drawn.toml").rename(drawn.parent / "elsewhere.toml")
    with pytest.raises(SpaceError, match=re.escape(f"{drawn.parent / 'drawn.toml'}")):
        explorer.measure([3], drawn, observer=Events())


def test_a_study_of_an_earlier_version_asks_for_its_space(drawn: Path) -> None:
    engine = Records(Workspace(drawn).url).engine
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM study_user_attributes WHERE key = 'space'"))
    with pytest.raises(ExplorerError, match="does not say which file its space is in; give it with --space"):
        explorer.measure([3], drawn, observer=Events())
