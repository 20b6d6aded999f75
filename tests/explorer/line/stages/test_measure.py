"""Measurements: taken of right outputs only, in samples that fill a time; in this process, over TVM's local session."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tvm import rpc as tvm_rpc

from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.line import rpc
from explorer.line.checking.reference import Reference
from explorer.line.contracts.measure import Parameters, Parents
from explorer.line.contracts.on_device import Address
from explorer.line.stages import measure

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
    assert 0 <= values["relative_error"] <= PARAMETERS.tolerance
    before, after = values["state"]["before"], values["state"]["after"]
    assert before["time"] < after["time"]
    assert before.keys() == after.keys() == {"time", "load"}
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
