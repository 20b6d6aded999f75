"""Bundles verified over RPC: on this machine, on a device of a devices file, and where they cannot run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import explorer
from explorer.bundles import manifest as files
from explorer.core.errors import DeviceError, ExplorerError
from tests import ROOT, forks
from tests.boards import board
from tests.explorer.bundles.rewritten import INT8, rewritten, spoil, without_torch
from tests.explorer.command import dlas

pytestmark = pytest.mark.slow  # two studies, which other tests share, come first

CORES = sorted(os.sched_getaffinity(0))


def test_this_machine_computes_what_it_did_in_an_environment_without_torch(bundles: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.dlas", "verify", str(bundles / "float32"), "--sessions", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=without_torch(tmp_path), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["result"]
    assert (found["device"], found["agree"], found["tolerance"]) == ("local", True, 0.001)
    assert 0 < found["relative_error"] < 1e-4
    assert 0 < found["latency_low_ms"] <= found["latency_ms"] <= found["latency_high_ms"]
    recorded = files.read(bundles / "float32").latency
    assert (found["recorded_ms"], found["recorded_low_ms"]) == (recorded.median_ms, recorded.low_ms)
    assert found["falls_into"] == (recorded.low_ms <= found["latency_ms"] <= recorded.high_ms)
    assert min(found["load_ms"], found["first_ms"]) > 0


def test_a_server_elsewhere_is_sent_the_library_and_wrong_outputs_are_exit_code_1(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(copied)
    with board("far", CORES[:2], tmp_path / "log") as tracker:
        (tmp_path / "devices.toml").write_text(f'[board]\ntracker = "{tracker}"\nkey = "far"\nemulated = true\n')
        given = ("--device", "board", "--file", tmp_path / "devices.toml", "--sessions", 1)
        assert dlas("verify", copied, *given) == 1
    text = capsys.readouterr().out
    assert "The outputs on board (emulated) differ from the expected ones: they lie at most " in text
    assert "The latency " in text


def test_outputs_that_are_no_numbers_disagree(copied: Path) -> None:
    expected = np.load(copied / files.EXPECTED)
    expected[0, 0] = np.nan
    np.save(copied / files.EXPECTED, expected)
    rewritten(copied)
    found = explorer.verify(copied, sessions=1)
    assert (found.relative_error, found.agree, found.sessions) == (None, False, 1)
    assert found.latency.value > 0


def test_a_bundle_for_another_architecture_does_not_run_here(copied: Path) -> None:
    device = files.read(copied).device
    target = {"kind": "llvm", "mtriple": "riscv64-linux-gnu"}
    rewritten(copied, device=device.model_copy(update={"name": "board", "target": target}))
    with pytest.raises(ExplorerError) as caught:
        explorer.verify(copied, sessions=1)
    said = str(caught.value)
    assert said.startswith(f"'{copied}' is made for device 'board' and does not fit: device 'local' is ")
    assert "its target is for riscv64" in said
    assert said.endswith("; name a device that it fits with --device")


def test_more_threads_than_the_device_has_are_an_error(copied: Path) -> None:
    rewritten(copied, device=files.read(copied).device.model_copy(update={"threads": 1000}))
    with pytest.raises(ExplorerError, match=r"threads where 1000 are asked for: raise its TVM_NUM_THREADS") as caught:
        explorer.verify(copied, sessions=1)
    assert "does not run on device 'local'" in str(caught.value)


def test_a_device_that_is_gone_is_said_in_one_sentence(
    bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    (tmp_path / "devices.toml").write_text(f'[board]\ntracker = "{address}"\n')
    for name, message in (("board", f"no RPC tracker answers at {address}"), ("bord", "did you mean 'board'?")):
        assert dlas("verify", bundles / INT8, "--device", name, "--file", tmp_path / "devices.toml") == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


@pytest.mark.nightly
def test_a_device_that_goes_in_the_middle_of_a_session_is_an_error_in_one_sentence(
    copied: Path, tmp_path: Path
) -> None:
    latency = files.read(copied).latency
    rewritten(copied, latency=latency.model_copy(update={"warmup_ms": 600_000.0}))

    def go() -> None:
        while not any(_busy(server) for server in forks.running("tests.boards")):
            time.sleep(0.1)
        os.killpg(next(iter(forks.running("tests.boards"))).pid, signal.SIGKILL)

    with board("far", CORES[:2], tmp_path / "log") as tracker:
        (tmp_path / "devices.toml").write_text(f'[board]\ntracker = "{tracker}"\nkey = "far"\n')
        going = threading.Thread(target=go)
        going.start()
        with pytest.raises(DeviceError, match=r"^device 'board' went away: ") as caught:
            explorer.verify(copied, "board", tmp_path / "devices.toml", sessions=1)
        going.join()
    assert "\n" not in str(caught.value)


def _busy(server: psutil.Process) -> bool:
    """Tell whether a server's session has computed for longer than all that comes before its samples takes."""
    return any(child.cpu_times().user > 3 for child in server.children(recursive=True))


def test_a_bundle_that_cannot_be_used_is_exit_code_2(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / files.SHARED).write_bytes((copied / files.SHARED).read_bytes() + b"\0")
    for folder, message in ((copied, f"{files.SHARED} is not what was written"), (tmp_path, "no bundle in ")):
        assert dlas("verify", folder) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    with pytest.raises(ExplorerError, match="sessions 0 is below 1"):
        explorer.verify(copied, sessions=0)
    with pytest.raises(DeviceError, match="no device 'nowhere'"):
        explorer.verify(copied, "nowhere")
