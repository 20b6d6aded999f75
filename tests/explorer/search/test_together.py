"""Stacks that are judged on several devices at once: measured on each, on record by the worst and by each."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import explorer
from explorer import cli
from explorer.core import configuration
from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from explorer.core.measurement.quantities import PER_DEVICE
from explorer.fronts import pareto
from explorer.line.trials import dry_run, several_devices
from explorer.search.grids import planning
from explorer.space import space
from explorer.space.limits import Limit, violation
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Once, Ran
from tests.explorer import spaces
from tests.explorer.frames import frame_of, recorded
from tests.studies import Events

# A lesser processor of this machine's architecture, so that the two devices have libraries of their own.
LESSER = {"x86_64": "x86-64-v3", "aarch64": "generic"}[platform.machine()]
DEVICES = f"""
[left]
cores = [0]
[right]
cores = [1]
target = {{ kind = "llvm", mcpu = "{LESSER}", num-cores = 1 }}
"""
OBJECTIVES = {"accuracy": "maximize", "latency_ms": "minimize"}


def write(
    folder: Path,
    name: str = "together",
    devices: tuple[str, ...] = ("left+right", "left"),
    objectives: Mapping[str, str] = OBJECTIVES,
    limits: tuple[str, ...] = ("latency_ms <= 1e6 on right", "latency_ms <= 1e6"),
) -> Path:
    (folder / "devices.toml").write_text(DEVICES)
    axes = {"dataset": "digits", "model": studies.SMALL, "width": 0.25, "algorithm": ["direct", "gemm"]}
    text = spaces.render(
        {**axes, "device": devices},
        (),
        name,
        objectives=objectives,
        search={"sampler": "grid", "limits": limits},
        train={"epochs": 1},
        measure=studies.QUICK,
    )
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_limit_on_one_device_counts_what_is_reached_there() -> None:
    values = several_devices.together({"a": recorded(0.9, 2.0, 30, "x"), "b": recorded(0.8, 1.0, 40, "y")}).values
    assert violation([Limit("latency_ms", "<=", 1.5, "b")], "a+b", values) == 0
    assert violation([Limit("latency_ms", "<=", 1.0, "a")], "a+b", values) == 1
    assert violation([Limit("latency_ms", "<=", 1.0)], "a+b", values) == 1
    assert violation([Limit("latency_ms", "<=", 1.0, "c")], "a+b", values) == 0
    assert violation([Limit("macs", "<=", 2.5, "a")], "a+b", values) == 1
    rows = [{"state": "complete", "device": "a+b", **values}, {"state": "complete", "device": "b", **values}]
    assert pareto.violations(frame_of(*rows), [Limit("latency_ms", "<=", 1.0, "a")]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devices": ("left+rigth",)}, "unknown device 'rigth' on axis device"),
        ({"devices": ("left+right+left", "left")}, "device left+right+left names left twice"),
        (
            {"objectives": {"accuracy": "maximize", "latency_ms on left": "minimize"}},
            "together.toml:10: objective 'latency_ms on left' needs stacks that are all judged on several devices, "
            "left among them: choices such as 'left+other' on axis device; it has left+right, left",
        ),
        (
            {"objectives": {"macs on left": "minimize"}},
            f"unknown objective 'macs'; allowed: {', '.join(PER_DEVICE)}",
        ),
        (
            {"limits": ("latency_ms <= 1e6 on rigth",)},
            "unknown device 'rigth' in limit 'latency_ms <= 1e6 on rigth'; allowed: ",
        ),
    ],
)
def test_a_mistake_is_one_sentence(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError) as error:
        space.load(write(tmp_path, **changes))
    assert message in str(error.value)


def test_each_target_has_its_libraries_and_what_comes_before_is_shared(tmp_path: Path) -> None:
    counts = {each.stage: each.distinct for each in dry_run.count(space.load(write(tmp_path)))}
    assert (counts["train"], counts["build"], counts["measure"]) == (1, 4, 4)
    assert configuration.why_invalid(Configuration("digits", "resnet18", device="a+a")) == "device a+a names a twice"


@pytest.fixture(scope="module")
def together(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    def run(folder: Path) -> Ran:
        ran = Ran(write(folder), folder / "workspace", Events())
        studies.run(ran.space, ran.workspace, ran.events)
        return ran

    return once.ran("together", run, tmp_path_factory.mktemp("together"))


@pytest.mark.slow
def test_a_study_judges_stacks_on_both_devices_and_on_one(together: Ran) -> None:
    frame: Any = explorer.frame(together.workspace).set_index(["algorithm", "device"])
    assert set(frame["state"]) == {"complete"}
    for algorithm in ("direct", "gemm"):
        both, left = frame.loc[(algorithm, "left+right")], frame.loc[(algorithm, "left")]
        assert both["latency_ms on left"] == left["latency_ms"], "it is measured once"
        assert both["latency_ms"] == max(both["latency_ms on left"], both["latency_ms on right"])
        assert both["latency_ms on right"] > 0
        assert both["build_key on left"] == left["build_key"] != both["build_key on right"], "each has its own library"
        assert both["measure_key on left"] != both["measure_key on right"]
        assert both["accuracy on left"] == both["accuracy on right"]
    executed = studies.executions(together.workspace)
    assert executed.pop("measure") >= 2 * 4
    assert (executed["train"], executed["lower"], executed["build"], executed["control"]) == (1, 4, 4, 2)
    front = explorer.front(together.workspace)
    assert set(front["device"]) == {"left+right", "left"}


@pytest.fixture(scope="module")
def apart(together: Ran) -> str:
    """The name of a study that measures the same stacks on each device alone."""
    path = write(together.space.parent, "apart", devices=("left", "right"), limits=("latency_ms <= 1e6",))
    studies.run(path, together.workspace, Events())
    return "apart"


@pytest.mark.slow
def test_two_devices_are_compared(together: Ran, apart: str, capsys: pytest.CaptureFixture[str]) -> None:
    frame = explorer.frame(together.workspace, apart)
    found = explorer.compare(together.workspace, apart)
    assert found.devices == ("left", "right")
    rows = found.rows
    assert set(rows["state"]) == {"complete"}
    assert (rows["factor"] >= 1).all()
    for _, row in rows.iterrows():
        there = frame[(frame["device"] == row["device"]) & (frame["algorithm"] == row["algorithm"])]
        assert (row["number"], row["latency_ms"]) == (there["number"].item(), there["latency_ms"].item())
    with pytest.raises(SystemExit):
        cli.main(["front", "--compare", "--workspace", str(together.workspace), "--study", apart])
    assert "The front of left, and its stacks on the other devices:" in capsys.readouterr().out


@pytest.mark.slow
def test_the_answer_for_both_is_the_same_measured_at_once_and_apart(together: Ran, apart: str) -> None:
    for budget in (1e-6, 1e6):
        joint = explorer.best(budget, "left+right", workspace=together.workspace, study="together")
        found = explorer.best(budget, "left+right", workspace=together.workspace, study=apart)
        assert (found.confidence, found.considered, found.failed) == (joint.confidence, joint.considered, joint.failed)
        for one, other in ((found.stack, joint.stack), (found.nearest, joint.nearest)):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.choices == other.choices
                assert one.latencies == other.latencies


@pytest.mark.slow
def test_both_latencies_are_objectives_and_shown(together: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    objectives = {"accuracy": "maximize", "latency_ms on left": "minimize", "latency_ms on right": "minimize"}
    path = write(together.space.parent, "each", devices=("left+right",), objectives=objectives)
    searched = space.load(path)
    events = Events()
    studies.run(path, together.workspace, events)
    assert events.stages == ["reach left", "reach right"], "everything was measured for the other study"
    trials: Any = explorer.frame(together.workspace, "each")
    front = explorer.front(together.workspace, "each")
    assert list(explorer.objectives(together.workspace, "each")) == [
        "accuracy", "latency_ms on left", "latency_ms on right",
    ]  # fmt: skip
    assert len(trials) == searched.count == 2
    fastest = {trials.loc[trials[f"latency_ms on {device}"].idxmin(), "number"] for device in ("left", "right")}
    assert fastest <= set(front["number"])
    with pytest.raises(SystemExit):
        cli.main(["front", "-w", str(together.workspace), "--study", "each"])
    assert "(ms) on left  (ms) on right" in capsys.readouterr().out


@pytest.mark.slow
def test_a_grid_and_its_plan_take_stacks_on_several_devices(together: Ran) -> None:
    path = write(together.space.parent, "whole")
    searched = space.load(path).whole
    planned = planning.plan(searched, searched.configurations(), Records(Workspace(together.workspace).url))
    assert planned.configurations == 4
    assert not planned.unknown
    events = Events()
    studies.run_grid(path, together.workspace, events)
    assert events.stages == ["reach left", "reach right"]
    assert Records(Workspace(together.workspace).url).count("whole") == (4, 0, 0)
