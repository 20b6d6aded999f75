"""A study on a device whose target asks for an instruction set that this machine lacks: refused before it trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.explorer.command import dlas
from tests.explorer.lacking import devices_file, lacking_target


def test_nothing_is_trained_for_a_device_that_cannot_run_the_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, lacks = lacking_target()
    devices_file(tmp_path / "devices.toml", local=target)
    space = studies.write_space(tmp_path, models=[studies.SMALL])
    assert dlas("run", space, "-w", tmp_path / "workspace") == 2
    (message,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert message.startswith("error: device 'local' is ")
    assert lacks in message
    assert f"its target's mattr '{target['mattr'][0]}' needs that; take it out of the target" in message
    workspace = Workspace(tmp_path / "workspace")
    assert sum(Records(workspace.url).count("grid")) == 0
    assert studies.executions(tmp_path / "workspace") == {}
