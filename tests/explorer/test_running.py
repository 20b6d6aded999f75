"""One configuration evaluated by itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import explorer
from explorer.core.configuration import Configuration
from explorer.core.errors import ExplorerError, SpaceError
from explorer.space import space
from explorer.workspace.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Ran
from tests.explorer.spaces import SMALL, write
from tests.studies import Events


@pytest.mark.slow
def test_a_stack_that_a_study_has_evaluated_costs_nothing_and_is_no_second_trial(grid: Ran) -> None:
    before = studies.executions(grid.workspace)
    records = Records(Workspace(grid.workspace).url)
    for number, configuration, record in records.complete("grid", [3, 17]):
        values = explorer.evaluate(grid.space, configuration.as_dict(), grid.workspace, observer=Events())
        assert Record(values) == record, number
    assert studies.executions(grid.workspace) == before
    assert records.count("grid") == (24, 0, 0)


@pytest.mark.slow
def test_a_stage_that_fails_is_an_error_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "failing.toml"
    path.write_text(studies.write_space(tmp_path).read_text() + "tolerance = 1e-30\n")
    configuration = Configuration("digits", "resnet18", 0.25).as_dict()
    with pytest.raises(ExplorerError, match=r"^evaluate failed \(wrong_output\): "):
        explorer.evaluate(path, configuration, tmp_path / "w", observer=Events())


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
