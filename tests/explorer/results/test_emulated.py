"""Emulated devices do not stand beside real ones unless that is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import explorer
from explorer.core.errors import ExplorerError
from explorer.results.emulated import emulated_devices, only_one, refuse_comparison, refuse_mixed, without_emulated
from explorer.results.tables import study_tables
from explorer.search.search import Summary
from explorer.workspace.database.records import Record
from tests.explorer.command import answer, dlas
from tests.explorer.frames import complete, emulated, frame_of, study
from tests.explorer.searched import searched_on_two
from tests.explorer.shown import shown


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study on this machine and, emulated, on ``board``."""
    return marked_on(tmp_path_factory.mktemp("emulated"), "board")


def marked_on(folder: Path, *devices: str) -> Path:
    """Return the workspace of a study on two devices, those of `devices` emulated."""
    place, records = searched_on_two(folder)
    for number, configuration, record in records.complete("drawn"):
        if configuration.device in devices:
            records.revise("drawn", number, Record({**record.values, "latency_emulated": True}))
    return place.root


def test_devices_are_emulated_by_what_is_on_record_of_their_trials() -> None:
    frame = study(("arm", "local"))
    assert emulated_devices(frame) == frozenset()
    assert emulated_devices(emulated(frame, "arm")) == {"arm"}
    joined = {**complete(0, 0.9, 1.0, device="arm+local"), "latency_emulated": True, "latency_emulated on arm": True}
    assert emulated_devices(frame_of(joined, complete(1, 0.9, 1.0))) == {"arm", "arm+local"}
    assert emulated_devices(frame[:0]) == frozenset()


def test_real_trials_are_left() -> None:
    frame = study(("arm", "local"))
    assert set(without_emulated(frame, {"arm"})["device"]) == {"local"}
    assert without_emulated(frame, ()) is frame


def test_the_only_real_device_needs_no_name() -> None:
    assert only_one(["arm", "local"], {"arm"}) == "local"
    assert only_one(["arm"], ()) == "arm"
    with pytest.raises(ExplorerError, match="measured on emulated devices alone: arm, x; name one with --device"):
        only_one(["arm", "x"], {"arm", "x"})
    with pytest.raises(ExplorerError, match="several devices: arm, a, b; choose one with --device"):
        only_one(["arm", "a", "b"], {"arm"})


def test_real_and_emulated_devices_are_not_joined() -> None:
    for device in ("arm", "arm+other", "a+b"):
        refuse_mixed(device, {"arm", "other"})
    with pytest.raises(
        ExplorerError, match=re.escape("device a+arm joins real devices and emulated ones (arm), whose")
    ):
        refuse_mixed("a+arm", {"arm"})


def test_a_comparison_needs_two_real_devices() -> None:
    refuse_comparison(None, ["a", "b", "arm"], {"arm"})
    refuse_comparison(None, ["a"], ())  # which the comparison itself refuses
    with pytest.raises(ExplorerError, match="device 'arm' is emulated, and left out of comparisons"):
        refuse_comparison("arm", ["a", "b", "arm"], {"arm"})
    for devices, left in ((["a", "arm"], "a"), (["arm"], "none")):
        with pytest.raises(
            ExplorerError, match=re.escape(f"without the emulated ones (arm) the study has {left}; ask")
        ):
            refuse_comparison(None, devices, {"arm"})


def test_the_best_stack_is_one_on_a_real_device(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "best", "--latency-ms", 9.5, "-w", root)["device"] == "local"
    assert answer(capsys, "best", "--latency-ms", 9.5, "-w", root, "--device", "board")["stack"]["latency_emulated"]
    assert dlas("best", "--latency-ms", 9.5, "-w", root, "--emulated") == 2
    assert "the study has several devices: board, local; choose one" in capsys.readouterr().err
    assert dlas("best", "--latency-ms", 9.5, "-w", root, "--device", "board+local") == 2
    assert "joins real devices and emulated ones (board)" in capsys.readouterr().err
    joined = answer(capsys, "best", "--latency-ms", 9.5, "-w", root, "--device", "board+local", "--emulated")["stack"]
    assert {name: on["latency_emulated"] for name, on in joined["on_each"].items()} == {"board": True, "local": False}


def test_fronts_are_compared_with_those_of_emulated_devices_where_asked(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dlas("front", "--compare", "-w", root) == 2
    assert "without the emulated ones (board) the study has local" in capsys.readouterr().err
    found = answer(capsys, "front", "--compare", "--emulated", "-w", root)["comparison"]
    assert (found["devices"], found["emulated"]) == (["board", "local"], ["board"])
    pages = {asked: explorer.figure(tmp_path / f"{asked}.html", root, emulated=asked) for asked in (True, False)}
    across = {asked: "the same stacks across devices" in page.read_text() for asked, page in pages.items()}
    assert across == {True: True, False: False}


@pytest.mark.parametrize(("marked", "named"), [((), "local"), (("local",), "board"), (("local", "board"), "local")])
def test_a_run_ends_with_a_question_about_a_real_device(tmp_path: Path, marked: tuple[str, ...], named: str) -> None:
    root = marked_on(tmp_path, *marked)
    summary = Summary("drawn", complete=19, failed=2, skipped=0, added=21, exhausted=False)
    with explorer.open(root) as opened:
        following = shown(*study_tables.summary_text(summary, opened, Path("p"), ""))[-1]
    assert following.startswith(f"next: dlas best --device {named} --latency-ms")


def test_the_mark_is_in_every_table(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("front",), ("status",)):
        assert dlas(*command, "-w", root) == 0
        assert "board (emulated)" in capsys.readouterr().out
    assert {row["device"]: row["latency_emulated"] for row in answer(capsys, "front", "-w", root)["stacks"]} == {
        "board": True,
        "local": None,
    }
    assert dlas("export", "-w", root) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    place = head.split(",").index("latency_emulated")
    assert {row.split(",")[place] for row in rows if ",board," in row} == {"True"}
