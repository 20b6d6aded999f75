from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import explorer
from explorer.search.search import Summary
from tests.explorer.command import dlas
from tests.explorer.searched import searched


def test_the_papers_devices_are_missing_when_it_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas("run", "dlas_paper") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "unknown devices 'hikey970_cpu', 'hikey970_gpu', 'i7_cpu', 'xavier_gpu' on axis device" in error
    assert "needs an entry such as [hikey970_cpu] in" in error
    assert "with its tracker and target; this version has schedules for targets of kind llvm, opencl, cuda" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("run", "quikstart"),
            "error: unknown search space 'quikstart'; allowed: cifar10, dlas_paper, fashion_mnist, quickstart",
        ),
        (
            ("spaces", "dlas_papr"),
            "error: unknown search space 'dlas_papr'; allowed: cifar10, dlas_paper, fashion_mnist, quickstart",
        ),
        (("spaces", "sqlite://x"), "error: unknown search space 'sqlite://x'; allowed: cifar10, dlas_paper, "),
        (("run", "quickstart", "--sampler", "tp"), "error: unknown sampler 'tp'; allowed: auto, gp, grid, nsga2, "),
        (("run", "quickstart", "--trials", "0"), "error: trials 0 is below 1"),
        (("front", "--workspace", "/nowhere"), "error: no study in workspace '/nowhere'; start one with"),
        (("devices", "--file", "/nowhere.toml"), "error: /nowhere.toml: no such file"),
        (
            ("devices", "--add", "pi", "--tracker", "127.0.0.1:9", "--file", "/nowhere/devices.toml"),
            "error: /nowhere/devices.toml: no such folder",
        ),
        (("export", "--format", "parquet"), "error: parquet needs a file: --output trials.parquet"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dlas(*arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    "arguments", [("best",), ("front", "--nonsense"), ("nonsense",), ("best", "--latency-ms", "x")]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_long_value_is_said_without_its_middle(capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas("show", 5000 * "x") == 2
    error = capsys.readouterr().err
    assert "…" in error
    assert len(error) < 2000


def test_after_a_run_its_study_is_opened_once_for_the_summary(
    tmp_path: Path, connections: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, _ = searched(tmp_path)
    connections.clear()
    summary = Summary("drawn", complete=10, failed=2, skipped=0, added=12, exhausted=True)
    monkeypatch.setattr(explorer, "run", lambda *positional, **named: summary)
    assert dlas("run", "drawn", "-w", place.root) == 0
    assert len(connections) == 1
    *_, ended, exhausted, following = capsys.readouterr().out.splitlines()
    assert ended == f"12 trials, 2 failed; the fronts as a page: {place.figure('drawn')}"
    assert place.figure("drawn").exists()
    assert exhausted == "every configuration of the space has been tried"
    assert following == f"next: dlas best --device local --latency-ms 7.4 --workspace {place.root}"


def test_trials_measured_again_are_shown_with_their_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, records = searched(tmp_path)
    asked = []

    def measure(*positional: object, **named: object) -> pd.DataFrame:
        asked.append((positional, named))
        rows = records.frame("drawn")
        disturbed = rows["number"].map({3: "its threads took [2.1] times as long"})
        rows = rows.assign(latency_sessions=rows["number"] + 3.0, latency_disturbed=disturbed)
        return rows[rows["number"].isin([1, 3])]

    monkeypatch.setattr(explorer, "measure", measure)
    assert dlas("measure", 3, 1, "--sessions", 2, "-w", place.root, "--space", "other.toml") == 0
    ((positional, named),) = asked
    assert positional == ([3, 1], place.root, None)
    assert named == {"sessions": 2, "space": "other.toml", "engine": "local", "address": None, "observer": None}
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["1", "local", "2.000", "1.960", "to", "2.100", "4"]
    assert second.split()[:7] == ["3", "local", "4.000", "3.920", "to", "4.200", "6"]
    assert "its threads took [2.1] times as long" in second


def test_what_cannot_be_measured_again_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, _ = searched(tmp_path)
    (tmp_path / "drawn.toml").rename(tmp_path / "elsewhere.toml")
    for arguments, message in (
        ((99,), "no finished trial 99; its last is 11"),
        ((3, 4), "trial 4 is failed and has no latency"),
        ((3,), "drawn.toml"),
        ((3, "--space", "quickstart"), "is the space of study 'quickstart', not of 'drawn'"),
    ):
        assert dlas("measure", *arguments, "-w", place.root) == 2
        out, err = capsys.readouterr()
        assert message in err
        assert (err.count("\n"), out) == (1, "")
    for wrong in ((), ("x",), (3, "--sessions", "0")):
        assert dlas("measure", *wrong, "-w", place.root) == 2
        assert "Traceback" not in capsys.readouterr().err
