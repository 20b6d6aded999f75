"""A device that is another one than before: its latencies are measured anew, and the earlier ones stay on record."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

import explorer
from explorer.core.identity import Identity
from explorer.results import measured_on
from explorer.search import renewal
from explorer.search.optuna_study import warm_start
from explorer.space import space
from explorer.workspace.database.records import Record, Records
from explorer.workspace.database.schema import DeviceRow, MeasurementRow, SessionRow
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.studies import Events

AXES = {"compression": ["none"], "ratio": None, "threads": [1], "device": ["board"]}
TARGET = '{ kind = "llvm", mtriple = "x86_64-linux-gnu", mcpu = "%s", num-cores = 1 }'


def enter(folder: Path, mcpu: str, core: int = 0) -> None:
    (folder / "devices.toml").write_text(f"[board]\ncores = [{core}]\ntarget = {TARGET % mcpu}\n")


def run(path: Path, workspace: Path) -> Events:
    events = Events()
    studies.run(path, workspace, events)
    return events


def known(workspace: Path) -> dict[str, list[object]]:
    """Return of the library, the measurement and the latency what is on record of each trial."""
    frame = Records(Workspace(workspace).url).frame("one")
    return {name: frame[name].to_list() for name in ("build_key", "measure_key", "latency_ms")}


@pytest.mark.slow
def test_an_edited_entry_is_another_device_and_the_trials_of_the_study_are_taken_anew(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, "one", (studies.SMALL,), ("gemm",), axes=AXES)
    workspace = tmp_path / "workspace"
    enter(tmp_path, "x86-64-v2")
    run(path, workspace)
    first, before = known(workspace), studies.executions(workspace)
    run(path, workspace)
    assert studies.executions(workspace) == before, "the device is the one that it was"

    enter(tmp_path, "x86-64")
    events = run(path, workspace)
    second, after = known(workspace), studies.executions(workspace)
    assert events.notes[1] == ("trial 0 was measured on 'board' as it was before; measuring it on the device of today")
    assert "target.mcpu is x86-64, not x86-64-v2" in events.notes[0]
    assert (after["build"], after["train"]) == (before["build"] + 1, before["train"]), events.notes
    assert after["measure"] >= before["measure"] + 2, "the stack has its sessions on the device of today"
    for name in ("build_key", "measure_key"):
        assert first[name][0] != second[name][0]
    records = Records(Workspace(workspace).url)
    answered = [records.devices.of("board", key) for key in sorted({*records.sessions.identities().values()})]
    assert {str(each).partition(", ")[2] for each in answered} == {
        "code for x86-64, cores 0",
        "code for x86-64-v2, cores 0",
    }

    with explorer.open(workspace) as opened:
        (measured,) = opened.status().devices
        assert (measured.device, measured.trials, measured.latest) == ("board", [0], True)
        assert not measured_on.warnings(opened.devices)

    enter(tmp_path, "x86-64-v2")
    run(path, workspace)
    assert known(workspace) == first, "what was measured of the first device is on record still"
    assert studies.executions(workspace)["measure"] == after["measure"]


@pytest.mark.slow
def test_a_device_that_says_that_it_is_another_one_is_said_and_measured_anew(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, "one", (studies.SMALL,), ("gemm",), axes={**AXES, "device": ["local"]})
    workspace = tmp_path / "workspace"
    run(path, workspace)
    before = studies.executions(workspace)
    records, earlier = Records(Workspace(workspace).url), {"one": [0]}
    assert len(list(warm_start.trials(space.load(path), earlier, records))) == 1
    processor = moved(records)
    assert not renewal.edited(space.load(path), Records(Workspace(workspace).url)), "that nobody can tell unasked"
    assert not run(path, workspace).notes, "a study that is complete asks no device"

    path.write_text(path.read_text().replace('"gemm"', '"gemm", "direct"').replace('name = "one"', 'name = "two"'))
    events = run(path, workspace)
    assert not list(warm_start.trials(space.load(path), earlier, records)), "they were measured on another device"
    assert events.notes[0] == (
        f"device 'local' is another one than the last time: processor is {processor}, not a far machine; it is "
        "measured anew, and what was measured before stays on record"
    )
    with explorer.open(workspace, "one") as opened:
        (told,) = measured_on.warnings(opened.trial(0).devices)
        assert told.startswith("1 trial was measured while 'local' was another device than the last that answered (pro")
    after = studies.executions(workspace)
    assert (after["build"], after["train"]) == (before["build"] + 1, before["train"]), "targets are the same"
    assert after["measure"] >= before["measure"] + 2 * 2


def moved(records: Records) -> str:
    """Make what is on record that of another machine; return the processor of this one."""
    now = records.devices.last("local")
    assert now
    other = Identity({**now.facts, "processor": "a far machine"})
    with records.engine.begin() as connection:
        for table in (SessionRow, MeasurementRow):
            connection.execute(sa.update(table).values(key=sa.literal("far ") + table.key))
        connection.execute(sa.update(SessionRow).values(identity=other.key))
        connection.execute(sa.update(DeviceRow).values(identity=other.key, facts=dict(other.facts)))
    for number, _, record in records.complete("one"):
        key = f"far {record.values['measure_key']}"
        records.revise("one", number, Record({**record.values, "measure_key": key}))
    return str(now.facts["processor"])
