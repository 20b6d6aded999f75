"""Measurements: taken of right outputs only, in samples that fill a time; in this process, over TVM's local session."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.measurement import statistics
from explorer.core.measurement.sessions import Readings, quiet_samples
from explorer.line.checking.reference import Reference
from explorer.line.contracts.measure import Parameters, Parents
from explorer.line.contracts.on_device import Address
from explorer.line.device import rpc
from explorer.line.stages import measure
from explorer.processes import loopback
from tests import forks, torch_stages

STOPPED = 1.0  # seconds
CORE = min(os.sched_getaffinity(0))
UNREAD = Readings()[:-1]  # of a device without a control
ADDRESS = Address(tracker="10.0.0.1:9190", key="board")
PARAMETERS = Parameters(1, samples=10, sample_ms=0.2, warmup_ms=0.1, tolerance=1e-3, address=ADDRESS)


def test_samples_are_taken_of_a_right_library(
    small: Artifact, lowered: Artifact, built: Artifact, leased: list[tuple[object, ...]], tmp_path: Path
) -> None:
    values = measure.run(PARAMETERS, Parents(small, lowered, built), tmp_path)
    assert leased == [(ADDRESS.tracker, ADDRESS.key, measure.SESSION_SECONDS), (1, "measure", ADDRESS.key)]
    assert len(values["samples_ms"]) == 10
    assert min(values["samples_ms"]) > 0
    assert values["quiet"] == list(range(10)), "nothing tells of a disturbance"
    for sample, runs in zip(values["samples_ms"], values["runs_ms"], strict=True):
        assert sample == pytest.approx(fmean(runs))
    assert len({len(runs) for runs in values["runs_ms"]}) == 1
    assert min(values["load_ms"], values["first_ms"]) > 0
    assert values["server_peak_bytes"] is None, "which the control would read"
    error = values["relative_error"]
    assert error is not None
    assert 0 <= error <= PARAMETERS.tolerance
    own = statistics.spread([run for runs in values["runs_ms"] for run in runs])
    assert (values["readings"], values["typical"], values["no_control"]) == ({}, [*UNREAD, own], "")
    assert (values["state"]["before"], values["state"]["after"]) == (None, None)
    assert os.listdir(tmp_path) == [], "nothing is an artifact"


def test_a_library_of_wrong_outputs_is_not_measured(
    small: Artifact, lowered: Artifact, built: Artifact, leased: list[tuple[object, ...]], tmp_path: Path
) -> None:
    reference = Reference.load(small.path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "network.onnx").write_bytes((small.path / "network.onnx").read_bytes())
    logits = reference.logits.copy()
    logits[7] += 0.1 * reference.range
    Reference(reference.images, logits).save(other)
    network: Artifact = Artifact("compress", "other", other)
    message = r"^outputs differ from torch's by 0\.1 of their range; allowed: 0\.001; "
    with pytest.raises(StageFailed, match=message) as failed:
        measure.run(PARAMETERS, Parents(network, lowered, built), tmp_path)
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("measure", "wrong_output")
    assert "compiled once more the network computes what it should" in str(failed.value)


@pytest.mark.parametrize("batch", [3, 20])
def test_a_batch_is_compared_image_by_image(batch: int, small: Artifact, leased: list[object], tmp_path: Path) -> None:
    """Neither number divides the images of the reference; the larger one has more than are compared otherwise."""
    choice = {"algorithm": "gemm", "format": "dense", "dtype": "float32", "target": native_target(), "batch": batch}
    lowered = torch_stages.execute("lower", tmp_path, choice, network=small)
    built = torch_stages.execute("build", tmp_path, {"target": native_target()}, lower=lowered)
    sessions = tmp_path / "session"
    sessions.mkdir()
    values = measure.run(PARAMETERS, Parents(small, lowered, built), sessions)
    assert min(values["samples_ms"]) > 0
    error = values["relative_error"]
    assert error is not None
    assert 0 <= error <= PARAMETERS.tolerance

    reference = Reference.load(small.path)
    (tmp_path / "network.onnx").write_bytes((small.path / "network.onnx").read_bytes())
    logits = reference.logits.copy()
    logits[max(batch, measure.CHECKED_IMAGES) - 1] += 0.1 * reference.range
    Reference(reference.images, logits).save(tmp_path)
    with pytest.raises(StageFailed, match="compiled once more the network computes what it should"):
        measure.run(PARAMETERS, Parents(Artifact("compress", "other", tmp_path), lowered, built), sessions)
    assert leased


def test_the_control_runs_beside_the_samples(
    small: Artifact, lowered: Artifact, built: Artifact, control: Artifact, leased: list[object], tmp_path: Path
) -> None:
    parents = Parents(small, lowered, built, control)
    values = measure.run(replace(PARAMETERS, compares=False), parents, tmp_path)
    assert values["relative_error"] is None
    taken = len(values["samples_ms"])
    assert taken in (10, 20, 30)
    readings = values["readings"]
    assert (len(readings["arithmetic_ms"]), len(readings["memory_ms"]), readings["wake_us"]) == (taken + 1, 2, [])
    kept, typical = quiet_samples(taken, readings, Readings())
    assert len(values["runs_ms"]) == taken
    assert values["server_peak_bytes"] is not None
    assert values["server_peak_bytes"] > 10**7, "this process has TVM in it"
    *_, taken_of_a_core, own = values["typical"]
    assert own is not None
    assert taken_of_a_core is not None
    assert taken_of_a_core >= 0
    assert (values["quiet"], values["typical"]) == (kept, [*typical[:3], taken_of_a_core, own])
    assert (values["no_control"], values["waited_s"] >= 0) == ("", True)
    before, after = values["state"]["before"], values["state"]["after"]
    assert before is not None
    assert after is not None
    assert before["time"] < after["time"]
    assert before["own_s"] is not None
    assert after["own_s"] is not None
    assert before["own_s"] < after["own_s"]
    assert leased


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Check failed\n  cannot find sched_setaffinity  \n"), "cannot find sched_setaffinity"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_device_that_refuses_the_control_is_measured(
    small: Artifact,
    lowered: Artifact,
    built: Artifact,
    control: Artifact,
    leased: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    place = rpc.place

    def refused(session: Any, library: Path, linked: str = "", name: str = "") -> str:
        if library.parent == control.path:
            raise error
        return place(session, library, linked, name)

    monkeypatch.setattr(rpc, "place", refused)
    values = measure.run(PARAMETERS, Parents(small, lowered, built, control), tmp_path)
    assert values["no_control"] == said
    assert len(values["samples_ms"]) == 10
    assert values["quiet"] == list(range(10))
    assert (values["readings"], values["typical"][:-1], values["waited_s"]) == ({}, [*UNREAD], 0.0)
    assert leased


@pytest.mark.slow
def test_runs_that_the_server_stood_still_in_are_taken_again(
    small: Artifact, lowered: Artifact, built: Artifact, tmp_path: Path
) -> None:
    with loopback.server("local", [CORE], tmp_path / "log") as tracker:
        server = os.getpgid(forks.running("explorer.processes.loopback")[-1].pid)  # with its sessions
        protocol = replace(PARAMETERS, samples=300, sample_ms=8.0, address=Address(tracker=tracker, key="local"))
        # By another process: TVM waits for a server's answer with Python's lock held, when an object of its is freed.
        stopping = f"while sleep 0.7; do kill -STOP -- -{server}; sleep {STOPPED}; kill -CONT -- -{server}; done"
        with subprocess.Popen(["bash", "-c", stopping]) as stops:
            try:
                values = measure.run(protocol, Parents(small, lowered, built), tmp_path)
            finally:
                stops.kill()
                os.killpg(server, signal.SIGCONT)
    assert len(values["samples_ms"]) == 300
    assert max(run for runs in values["runs_ms"] for run in runs) < 1e3 * STOPPED / 2
    assert values["taken_again"] >= 1
