"""Devices asked for real what they are: this machine over its loopback server, and what does not answer."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

import explorer
from dlas_ops.control import READ
from explorer.core.errors import DeviceError, ExplorerError
from explorer.line.probing.answers import Answers
from tests.boards import board
from tests.conftest import Once
from tests.explorer.command import answer, dlas
from tests.explorer.lacking import devices_file, lacking_target

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def local(once: Once) -> Answers:
    """The answers of this machine."""
    return once.made("check", lambda folder: explorer.check_device("local"))


def test_this_machine_can_be_measured_on(local: Answers) -> None:
    assert (local.tracker, local.server, local.compiler, local.refusal) == (True, True, True, "")
    assert local.target is not None
    assert local.target["kind"] == "llvm"
    assert local.round_trip_ms is not None
    assert local.round_trip_ms > 0
    assert local.upload_mb_s is not None
    assert local.upload_mb_s > 0
    assert local.threads == len(os.sched_getaffinity(0))
    assert local.says.instruction_sets


def test_its_control_runs(local: Answers) -> None:
    assert local.control == ""
    assert {"arithmetic", "memory", "wake", "load", "busy_s", "own_s", "peak memory"} <= set(local.readings)


def test_its_peaks_are_those_of_a_processor(local: Answers) -> None:
    """No core has 1 TFLOP/s of float32 or reads 1 TB/s, and none that runs TVM is slower than 0.1 of each unit."""
    assert local.peaks is not None
    assert local.peaks.gflop_s_one_thread is not None
    assert 0.1 < local.peaks.gflop_s_one_thread < 1e3
    assert local.peaks.gb_s_one_thread is not None
    assert 0.1 < local.peaks.gb_s_one_thread < 1e3
    assert local.peaks.gflop_s > 0.1
    assert local.peaks.gb_s > 0.1
    assert local.peaks.read_bytes >= READ


def test_answers_come_through_json(local: Answers) -> None:
    assert Answers.from_json(local.as_dict()) == local
    assert Answers.from_json(Answers("board", "lan:9190", "board").as_dict()) == Answers("board", "lan:9190", "board")


def test_a_target_that_does_not_fit_is_refused_with_what_the_device_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, lacks = lacking_target()
    file = devices_file(tmp_path / "devices.toml", wrong=target)
    found = answer(capsys, "devices", "--check", "wrong", "--file", file, code=2)["check"]
    assert (found["tracker"], found["server"], found["compiler"], found["peaks"]) == (True, True, True, None)
    assert lacks in found["refusal"]
    assert found["says"]["kernel"]


def test_a_device_that_is_out_of_reach_is_said_with_the_commands_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    (tmp_path / "d.toml").write_text(f'[board]\ntracker = "{address}"\n')
    assert dlas("devices", "--check", "board", "--file", tmp_path / "d.toml") == 2
    said = capsys.readouterr()
    assert f"tracker {address} does not answer" in " ".join(said.out.split())
    assert "python -m tvm.exec.rpc_server" in said.err
    assert said.err.count("\n") == 1


def test_a_name_without_an_entry_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text("[board]\n")
    with pytest.raises(DeviceError, match=r"no device 'bord'; allowed: local, board; did you mean 'board'\?"):
        explorer.check_device("bord", tmp_path / "d.toml")
    with pytest.raises(ExplorerError, match="no such file"):
        explorer.check_device("board", tmp_path / "missing.toml")


def test_logs_stay_only_where_an_error_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "d.toml").write_text('[board]\ntracker = "127.0.0.1:9"\n')
    assert explorer.check_device("board", tmp_path / "d.toml").refusal
    assert list(tmp_path.iterdir()) == [tmp_path / "d.toml"]
    monkeypatch.setattr(explorer.devices, "CHECK_SECONDS", 0)
    with pytest.raises(DeviceError, match=r"device 'board' at 127.0.0.1:9 stops answering: .*; the logs are in "):
        explorer.check_device("board", tmp_path / "d.toml")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (folder / "check.log").exists()


def test_an_entry_is_added_by_what_the_device_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "devices.toml"
    with board("mine", CORES[:1], tmp_path / "log") as tracker:
        options = ("devices", "--add", "here", "--tracker", tracker, "--key", "mine", "--file", file)
        (added,) = answer(capsys, *options)["devices"]
        assert (added["name"], added["tracker"], added["key"]) == ("here", tracker, "mine")
        assert added["target"]["num-cores"] == 1
        written = file.read_text()
        assert dlas(*options) == 2
        assert "there is a device 'here' already" in capsys.readouterr().err
        assert file.read_text() == written
        assert explorer.check_device("here", file).refusal == ""


def test_nothing_is_added_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = tmp_path / "devices.toml"
    for options in (
        ("--add", "here"),
        ("--tracker", "lan:9190"),
        ("--key", "mine"),
        ("--add", "here", "--tracker", "lan:9190", "--check", "here"),
    ):
        assert dlas("devices", *options, "--file", file) == 2
        assert "--add NAME and --tracker HOST:PORT go together" in capsys.readouterr().err
    assert dlas("devices", "--add", "here", "--tracker", "loopback", "--file", file) == 2
    assert "tracker 'loopback' is not 'host:port'" in capsys.readouterr().err
    assert dlas("devices", "--add", "here", "--tracker", "127.0.0.1:9", "--file", file) == 2
    assert "no RPC tracker answers at 127.0.0.1:9" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
