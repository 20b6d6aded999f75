"""Measurements: taken of right outputs only, in samples that fill a time; in this process, over TVM's local session."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tvm import rpc as tvm_rpc

from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.sessions import Readings, quiet_samples
from explorer.line import rpc
from explorer.line.checking.reference import Reference
from explorer.line.contracts.measure import Parameters, Parents
from explorer.line.contracts.on_device import Address
from explorer.line.control import Control
from explorer.line.stages import measure
from tests import torch_stages
from tests.conftest import Once

ADDRESS = Address(tracker="10.0.0.1:9190", key="board")
PARAMETERS = Parameters(1, samples=10, sample_ms=0.2, warmup_ms=0.1, tolerance=1e-3, address=ADDRESS)


@pytest.fixture
def leased(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The calls for a session on the device, which is one in this process, and for its threads."""
    calls: list[tuple[object, ...]] = []

    def connect(*arguments: object) -> Any:
        calls.append(arguments)
        return tvm_rpc.LocalSession()

    monkeypatch.setattr(rpc, "connect", connect)
    monkeypatch.setattr(rpc, "set_threads", lambda session, *arguments: calls.append(arguments))
    return calls


def test_samples_are_taken_of_a_right_library(
    small: Artifact, lowered: Artifact, built: Artifact, leased: list[tuple[object, ...]], tmp_path: Path
) -> None:
    values = measure.run(PARAMETERS, Parents(small, lowered, built), tmp_path)
    assert leased == [(ADDRESS.tracker, ADDRESS.key, measure.SESSION_SECONDS), (1, "measure", ADDRESS.key)]
    assert len(values["samples_ms"]) == 10
    assert min(values["samples_ms"]) > 0
    assert values["runs_per_sample"] >= 1
    assert values["quiet_ms"] == values["samples_ms"], "nothing tells of a disturbance"
    error = values["relative_error"]
    assert error is not None
    assert 0 <= error <= PARAMETERS.tolerance
    assert (values["readings"], values["typical"], values["no_control"]) == ({}, [None, None, None, None], "")
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


@pytest.fixture(scope="session")
def control(once: Once) -> Artifact:
    """The control's programs for this machine."""
    target = {"target": native_target()}
    return once.made("control stage", lambda folder: torch_stages.execute("control", folder, target))


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
    kept, typical = quiet_samples(values["samples_ms"], readings, Readings())
    taken_of_a_core = values["typical"][-1]
    assert taken_of_a_core is not None
    assert taken_of_a_core >= 0
    assert (values["quiet_ms"], values["typical"]) == (kept, [*typical[:-1], taken_of_a_core])
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
    load = rpc.load

    def refused(session: Any, library: Path, linked: str = "") -> Any:
        if library.parent == control.path:
            raise error
        return load(session, library, linked)

    monkeypatch.setattr(rpc, "load", refused)
    values = measure.run(PARAMETERS, Parents(small, lowered, built, control), tmp_path)
    assert values["no_control"] == said
    assert len(values["samples_ms"]) == 10
    assert values["quiet_ms"] == values["samples_ms"]
    assert (values["readings"], values["typical"], values["waited_s"]) == ({}, [None, None, None, None], 0.0)
    assert leased


class ScriptedControl:
    """A control whose arithmetic takes as long as the script says, its last entry from then on."""

    def __init__(self, *arithmetic_ms: float) -> None:
        self._script = list(arithmetic_ms)
        self.read = 0

    def arithmetic_ms(self) -> float:
        self.read += 1
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def memory_ms(self) -> float:
        return 2.0

    def wake_us(self) -> float:
        return 0.8


@pytest.mark.parametrize(
    ("arithmetic", "taken"),
    [
        ([0.3], 10),
        ([0.3] * 6 + [0.6], 10),  # half of the samples are quiet, which is enough
        ([0.3] * 5 + [0.6], 30),  # one less is not, and more is never asked for
        ([0.3] * 5 + [0.6] * 6 + [0.3], 20),
        ([0.6], 10),  # what has lasted all the time will go on
    ],
)
def test_as_many_samples_are_taken_as_it_needs_for_half_of_them_to_be_quiet(
    arithmetic: list[float], taken: int
) -> None:
    samples = iter(range(1000))
    protocol = replace(PARAMETERS, usual=Readings(0.3, 0.8, 2.0))
    scripted = cast(Control, ScriptedControl(*arithmetic))
    found, readings = measure._sampled(lambda: float(next(samples)), scripted, protocol)
    assert found == [float(number) for number in range(1, 1 + taken)], "the first one warms the caches"
    assert len(readings["arithmetic_ms"]) == taken + 1
    assert readings["memory_ms"] == [2.0, 2.0]


def test_it_is_waited_until_the_control_takes_its_usual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(measure, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    for script, patience, waited, read in (
        ([0.3], 9.0, 0.0, 1),
        ([0.6, 0.6, 0.3], 9.0, 2 * measure.POLL_SECONDS, 3),
        ([0.6], 0.0, 0.0, 1),
        ([0.6], 0.625, 0.625, 4),
    ):
        control = ScriptedControl(*script)
        protocol = replace(PARAMETERS, usual=Readings(0.3, 0.8, 2.0), patience=patience)
        assert measure._until_quiet(cast(Control, control), protocol) == pytest.approx(waited)
        assert control.read == read
    unknown = replace(PARAMETERS, patience=9.0)
    assert measure._until_quiet(cast(Control, ScriptedControl(0.6)), unknown) == 0.0, "nothing is usual yet"


class Network:
    """A network that takes so many seconds a run."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.runs = 0

    def time_evaluator(self, name: str, device: object, number: int, repeat: int) -> Any:
        self.runs += number
        return lambda image: SimpleNamespace(mean=self.seconds)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1e-3, 5), (2e-3, 2), (1.0, 1), (0.0, measure.MAX_RUNS), (1e-9, measure.MAX_RUNS)],
)
def test_as_many_runs_fill_a_sample_as_its_time_takes(seconds: float, expected: int) -> None:
    protocol = Parameters(1, samples=10, sample_ms=5.0, warmup_ms=0.0, tolerance=1e-3)
    assert measure._runs_per_sample(Network(seconds), None, None, protocol) == expected


def test_a_network_runs_until_it_is_warm() -> None:
    network = Network(1e-3)
    protocol = Parameters(1, samples=10, sample_ms=5.0, warmup_ms=30.0, tolerance=1e-3)
    assert measure._runs_per_sample(network, None, None, protocol) == 5
    assert network.runs == 1 + 6 * 5, "30 ms and what the first run takes"
