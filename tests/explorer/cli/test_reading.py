from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import explorer
from explorer.core.configuration import Configuration
from explorer.search.optuna_study.study import Study
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.explorer.command import answer, dlas
from tests.explorer.searched import searched, searched_on_two
from tests.explorer.spaces import SMALL, make, write


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study as `search` leaves it behind, with outcomes that cost nothing."""
    return searched(tmp_path_factory.mktemp("workspace"))[0].root


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same on two devices."""
    return searched_on_two(tmp_path_factory.mktemp("two"))[0].root


def test_best_answers_and_its_exit_code_tells_whether_something_fits(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "best", "--latency-ms", 3.5, "-w", workspace)
    assert (found["stack"]["number"], found["next_better"]["number"], found["device"]) == (2, 3, "local")
    missing = answer(capsys, "best", "--latency-ms", 0.5, "-w", workspace, "--device", "local", code=1)
    assert (missing["stack"], missing["nearest"]["number"]) == (None, 0)


def test_best_in_words(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas("best", "--latency-ms", 3.1, "-w", workspace) == 0
    text = capsys.readouterr().out
    for part in (
        "within 3.1 ms on local",
        "10 stacks measured, 2 failed",
        "91.00 % validation, 95 % interval 89.00 % to 91.40 %",
        "3.000 ms",
        "Hardware",
        "over the",
    ):
        assert part in text
    assert "costs 1.000 ms for 0.50 points: trial 3" in text
    assert dlas("best", "--latency-ms", 0.5, "-w", workspace) == 1
    assert "No stack fits within 0.5 ms" in capsys.readouterr().out


def test_best_takes_a_confidence(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asked, number in ((0.5, 2), (0.99, 1)):
        found = answer(capsys, "best", "--latency-ms", 3.05, "--confidence", asked, "-w", workspace)
        assert (found["stack"]["number"], found["min_confidence"]) == (number, asked)
        assert found["confidence"] >= asked
    assert dlas("best", "--latency-ms", 3.05, "--confidence", 1, "-w", workspace) == 2
    assert "confidence is a probability above 0 and below 1, not 1" in capsys.readouterr().err


def test_best_answers_for_two_devices_that_one_stack_must_serve(
    on_two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "best", "--latency-ms", 9.5, "--device", "local+board", "-w", on_two)
    assert (found["device"], found["considered"], found["failed"]) == ("local+board", 9, 0)
    numbers = {name: (each["number"], each["latency_ms"]) for name, each in found["stack"]["on_each"].items()}
    assert numbers == {"local": (2, 3.0), "board": (102, 6.0)}
    assert dlas("best", "--latency-ms", 9.5, "--device", "board+local", "-w", on_two) == 0
    text = capsys.readouterr().out
    assert "trial 102 on board, 2 on local" in " ".join(text.split())
    assert dlas("best", "--latency-ms", 0.5, "--device", "board+local", "-w", on_two) == 1
    assert "No stack fits within 0.5 ms on board+local" in capsys.readouterr().out
    for asked, said in (("local+bord", "'bord'"), ("lokal+bord", "'lokal+bord'"), ("local+local", "names local twice")):
        assert dlas("best", "--latency-ms", 9.5, "--device", asked, "-w", on_two) == 2
        assert said in capsys.readouterr().err


def test_the_front_is_followed_by_its_ties(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, records = searched(tmp_path)
    values = records.complete("drawn")[-1][2].values
    ends = {"latency_low_ms": 12.0, "latency_high_ms": 12.2}
    again = Record({**values, "latency_ms": 12.1, **ends})
    records.add_trial("drawn", 12, Configuration("digits", "vgg16"), again, 1.0)
    rows = answer(capsys, "front", "-w", place.root)["stacks"]
    assert [row["number"] for row in rows if row["tied"]] == [12]
    assert rows[-1]["number"] == 12
    assert rows[0]["front_probability"] + rows[-1]["front_probability"] == pytest.approx(1.0)
    assert dlas("front", "-w", place.root) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "on front" in lines[0]
    assert " 12.100 " in lines[len(rows)]


def test_front_prints_what_the_function_returns(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = answer(capsys, "front", "-w", workspace, "--figure", tmp_path / "f.html")["stacks"]
    expected = explorer.front(workspace)
    assert [row["number"] for row in rows] == expected["number"].tolist() == [11, 10, 8, 7, 6, 5, 3, 2, 1, 0]
    assert rows[0]["test_images"] == 450
    assert rows[-1]["ratio"] is None
    assert [(row["front_probability"], row["tied"]) for row in rows] == 10 * [(1.0, False)]
    assert "Plotly" in (tmp_path / "f.html").read_text()
    assert dlas("front", "-w", workspace) == 0
    assert "all: dataset digits, model mobilenetv2" in capsys.readouterr().out


def test_the_front_keeps_the_limits_and_without_one_that_does_the_nearest_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, records = searched(tmp_path, limits=["latency_ms <= 3.5", "accuracy >= 0.91"])
    assert [row["number"] for row in answer(capsys, "front", "-w", place.root)["stacks"]] == [2]
    assert explorer.nearest(place.root).empty
    limits = ["latency_ms <= 0.5 on local"]
    Study(make(tmp_path, SMALL, sampler="grid", limits=limits), place, records)  # the next run has others
    found = answer(capsys, "front", "-w", place.root)
    assert (found["stacks"], [row["number"] for row in found["nearest"]]) == ([], [0])
    assert dlas("front", "-w", place.root, "--figure", tmp_path / "f.html") == 0
    said, _, nearest, *_ = capsys.readouterr().out.splitlines()
    assert said == "No stack keeps the limits on local (latency_ms <= 0.5 on local). The nearest:"
    assert "1.000" in nearest
    assert "0 within the limits" in (tmp_path / "f.html").read_text()


def test_the_fronts_of_several_devices_are_compared(on_two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "front", "--compare", "-w", on_two)["comparison"]
    assert found == explorer.compare(on_two).as_dict()
    assert found["devices"] == ["board", "local"]
    missing, row = (row for row in found["stacks"] if row["device"] == "board" and row["stack"] in (7, 8))
    assert (missing["state"], missing["latency_ms"], missing["factor"]) == (None, None, None)
    assert (row["number"], row["standing"], row["fastest"]) == (107, "off it", 110)
    assert row["factor"] == pytest.approx(32 / 22)
    assert dlas("front", "--compare", "-w", on_two) == 0
    text = capsys.readouterr().out
    assert "The front of board, and its stacks on the other devices:" in text
    assert re.search(r"off it +1\.45 \(1\.38 to 1\.5\d\) of trial 110", text)
    assert "On every axis the fronts of all devices have the same choices." in text


def test_the_front_of_one_device_is_compared_alone(
    on_two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("front", "--compare", "--device", "local", "-w", on_two)
    assert {
        row["front_of"] for row in answer(capsys, *given, "--figure", tmp_path / "f.html")["comparison"]["stacks"]
    } == {"local"}
    page = (tmp_path / "f.html").read_text()
    assert page.index("drawn: accuracy against latency") < page.index("drawn: the same stacks across devices")
    assert dlas(*given) == 0
    assert "The front of board" not in capsys.readouterr().out
    assert dlas("front", "--compare", "--device", "bord", "-w", on_two) == 2
    assert "did you mean 'board'?" in capsys.readouterr().err


def test_one_device_alone_is_not_compared(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas("front", "--compare", "-w", workspace) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "all trials have run on local; a comparison needs a study whose axis device has several choices" in said.err


def test_status_counts_failures_and_executions(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "status", "-w", workspace)
    assert (found["study"], found["complete"], found["failed"]) == ("drawn", 10, 2)
    (cause,) = found["failures"]
    assert (cause["failed_stage"], cause["failure_kind"], cause["numbers"]) == ("measure", "crash", [4, 9])
    assert found["stages"] == {"train": {"count": 2, "sum": 4.0}}
    assert found["tuning"] == []
    assert dlas("status", "-w", workspace) == 0
    assert "trial 4 [died]" in capsys.readouterr().out


def test_show_prints_one_trial_with_its_log(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "show", 4, "-w", workspace)["log"] == "the last line of the log"
    assert answer(capsys, "show", 3, "-w", workspace)["latency_ms"] == 4.0
    assert dlas("show", 4, "-w", workspace) == 0
    text = capsys.readouterr().out
    assert "trial 4 [died]" in text
    assert "the last line of the log" in text
    assert dlas("show", 99, "-w", workspace) == 2
    assert "no finished trial 99; its last is 11" in capsys.readouterr().err


def test_export_writes_the_whole_frame(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = explorer.frame(workspace)
    assert len(frame) == 12
    assert dlas("export", "-w", workspace, "-o", tmp_path / "t.csv") == 0
    assert dlas("export", "-w", workspace, "--format", "parquet", "-o", tmp_path / "t.parquet") == 0
    assert list(pd.read_csv(tmp_path / "t.csv").columns) == list(frame.columns)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame, check_dtype=False)
    assert dlas("export", "-w", workspace) == 0
    assert capsys.readouterr().out == (tmp_path / "t.csv").read_text()


def test_spaces_and_devices_list_what_is_bundled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {space["name"]: space for space in answer(capsys, "spaces")["spaces"]}
    assert found["quickstart"]["trials"] == 36
    assert [device["name"] for device in answer(capsys, "devices")["devices"]] == ["local"]
    (tmp_path / "d.toml").write_text('[board]\ntracker = "lan:9190"\ntarget = { kind = "llvm", mcpu = "cortex-a72" }\n')
    assert dlas("spaces") == dlas("devices", "--file", tmp_path / "d.toml") == 0
    text = capsys.readouterr().out
    assert "quickstart" in text
    assert "kind=llvm mcpu=cortex-a72" in text


def test_spaces_prints_the_axes_of_one_and_its_executions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {**SMALL, "device": ["local", "phone"]})
    found = answer(capsys, "spaces", path)["space"]
    assert (found["name"], found["configurations"], found["missing_devices"]) == ("drawn", 80, ["phone"])
    assert found["axes"]["ratio"] == [0.5, 0.75]
    stages = {stage["stage"]: stage for stage in found["stages"]}
    assert stages["train"] == {"stage": "train", "alone": 80, "distinct": 2, "at_most": False}
    assert stages["measure"]["distinct"] == 80
    assert dlas("spaces", path) == 0
    text = capsys.readouterr().out
    for part in ("96 combinations, valid: 80 configurations", "each: phone", "direct, gemm", "0.5, 0.75"):
        assert part in text
    lines = [line.split() for line in text.splitlines()]
    assert ["train", "80", "2"] in lines
    assert lines[-1] == ["all", "640", "183"]


def test_a_continuous_space_is_printed_without_its_executions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}, "threads": {"low": 1, "high": 8}}).path
    found = answer(capsys, "spaces", path)["space"]
    assert found["stages"] is None
    assert found["axes"]["ratio"] == [{"low": 0.3, "high": 0.9, "step": None, "log": False}]
    assert dlas("spaces", path) == 0
    text = capsys.readouterr().out
    assert "1..8 step 1" in text
    assert "0.3..0.9 continuous" in text
    assert "axis ratio is continuous; give its range a step to count them" in text


def test_names_in_a_workspace_are_suggested(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas("front", "-w", workspace, "--study", "drawm") == 2
    assert "did you mean 'drawn'?" in capsys.readouterr().err
    assert dlas("front", "-w", workspace, "--device", "locl") == 2
    assert "did you mean 'local'?" in capsys.readouterr().err


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.db").write_text("no database" * 100)
    assert dlas("status", "-w", tmp_path) == 2
    assert "is no SQLite database" in capsys.readouterr().err


def test_a_workspace_without_a_finished_trial_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Records(Workspace(tmp_path).url)
    assert dlas("status", "-w", tmp_path) == 2
    assert "no trial has finished yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("front",),
        ("front", "--device", "local", "--figure", "f.html", "--latency-ms", "3"),
        ("front", "--json"),
        ("front", "--compare"),
        ("best", "--latency-ms", "3.5", "--device", "local"),
        ("status",),
        ("status", "--json"),
        ("show", "4"),
        ("export", "-o", "t.csv"),
    ],
    ids=" ".join,
)
def test_a_command_opens_the_database_once(
    arguments: tuple[str, ...],
    on_two: Path,
    tmp_path: Path,
    connections: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dlas(*arguments, "-w", on_two) == 0
    assert len(connections) == 1


def test_reading_never_imports_torch_or_tvm(on_two: Path, tmp_path: Path) -> None:
    code = """
import sys
from explorer import cli
for given in sys.argv[2:]:
    try:
        cli.main([*given.split(), "-w", sys.argv[1]])
    except SystemExit as end:
        print(given, end.code, "torch" in sys.modules, "tvm" in sys.modules, sep=":")
"""
    commands = (
        "front",
        "front --compare",
        "status",
        "best --latency-ms 9 --device local",
        f"report -o {tmp_path / 'report.html'}",
    )
    command = [sys.executable, "-c", code, str(on_two), *commands]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [line.split(":") for line in output.splitlines()]
    assert [line for line in found if line[0] in commands] == [[each, "0", "False", "False"] for each in commands]
