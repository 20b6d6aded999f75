"""Stages on a GPU: inputs go there, outputs are compared, a clock tells; in this process, over TVM's local session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import rpc as tvm_rpc

from dlas_ops import gpu_peaks
from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.line.checking.reference import Reference
from explorer.line.contracts import confirm as confirming
from explorer.line.contracts import measure as measuring
from explorer.line.contracts.on_device import Address
from explorer.line.device import rpc
from explorer.line.device.control import GPU_LIBRARY, LIBRARY, Control
from explorer.line.stages import confirm, measure
from tests import opencl, torch_stages
from tests.conftest import Once

pytestmark = opencl.needed

ADDRESS = Address(tracker="10.0.0.1:9190", key="gpu")
MEASURED = measuring.Parameters(1, samples=10, sample_ms=0.2, warmup_ms=0.1, tolerance=1e-3, address=ADDRESS)
COMPARED = confirming.Parameters(1, samples=10, sample_ms=0.2, warmup_ms=0.1, device="gpu", address=ADDRESS)
TARGET = {"kind": "opencl", "device": "pocl", "host": native_target()}


@pytest.fixture(scope="module")
def on_gpu(once: Once, small: Artifact) -> Artifact:
    """The network lowered for a GPU."""
    choice = {"algorithm": "direct", "format": "dense", "dtype": "float32", "target": TARGET}
    return once.made("on gpu", lambda folder: torch_stages.execute("lower", folder, choice, network=small))


@pytest.fixture(scope="module")
def for_gpu(once: Once, on_gpu: Artifact) -> Artifact:
    """Its library."""
    return once.made("for gpu", lambda folder: torch_stages.execute("build", folder, {"target": TARGET}, lower=on_gpu))


@pytest.fixture(scope="module")
def both_controls(once: Once) -> Artifact:
    """The control's programs for the processor and for the GPU."""
    return once.made("gpu control", lambda folder: torch_stages.execute("control", folder, {"target": TARGET}))


def test_samples_are_taken_of_right_outputs(
    small: Artifact, on_gpu: Artifact, for_gpu: Artifact, both_controls: Artifact, leased: list[object], tmp_path: Path
) -> None:
    parents = measuring.Parents(small, on_gpu, for_gpu, both_controls)
    values = measure.run(MEASURED, parents, tmp_path)
    assert min(values["samples_ms"]) > 0
    assert min(values["load_ms"], values["first_ms"]) > 0
    assert values["relative_error"] is not None
    assert values["relative_error"] <= MEASURED.tolerance
    assert (values["no_control"], len(values["readings"]["memory_ms"])) == ("", 2)
    assert len(values["readings"]["arithmetic_ms"]) == len(values["samples_ms"]) + 1
    taken = values["typical"][3]
    assert taken is None, "the processor waits for the GPU, and others may have its cores meanwhile"
    assert leased


def test_a_gpu_that_does_not_run_the_control_is_measured_all_the_same(
    small: Artifact, on_gpu: Artifact, for_gpu: Artifact, control: Artifact, leased: list[object], tmp_path: Path
) -> None:
    """The control of a processor alone has no library for the GPU."""
    values = measure.run(MEASURED, measuring.Parents(small, on_gpu, for_gpu, control), tmp_path)
    assert GPU_LIBRARY in values["no_control"]
    assert (values["readings"], min(values["samples_ms"]) > 0) == ({}, True)
    assert leased


def test_the_arithmetic_is_done_on_the_gpu(both_controls: Artifact, tmp_path: Path) -> None:
    session, target = tvm_rpc.LocalSession(), tvm.target.Target(TARGET)

    def loaded(library: str) -> Any:
        return session.load_module(rpc.place(session, both_controls.path / library))

    running = Control(session, loaded(LIBRARY), 1)
    running.on_gpu(loaded(GPU_LIBRARY), rpc.device(session, TARGET), gpu_peaks.arithmetic(target))
    arrays = running._arrays["arithmetic"]
    assert {array.device for array in arrays} == {session.device("opencl")}
    assert running.arithmetic_ms() > 0
    assert np.allclose(arrays[1].numpy(), arrays[0].numpy() / (1 - gpu_peaks.FACTOR))


def test_wrong_outputs_are_looked_for_on_the_gpu(
    small: Artifact, on_gpu: Artifact, for_gpu: Artifact, leased: list[object], tmp_path: Path
) -> None:
    reference = Reference.load(small.path)
    (tmp_path / "network.onnx").write_bytes((small.path / "network.onnx").read_bytes())
    Reference(reference.images, reference.logits + 0.1 * reference.range).save(tmp_path)
    other: Artifact = Artifact("compress", "other", tmp_path)
    with pytest.raises(StageFailed, match="compiled once more the network computes what it should") as failed:
        measure.run(MEASURED, measuring.Parents(other, on_gpu, for_gpu), tmp_path)
    assert failed.value.failure.kind == "wrong_output"
    assert leased


def test_two_libraries_are_compared(
    small: Artifact, on_gpu: Artifact, for_gpu: Artifact, leased: list[object], tmp_path: Path
) -> None:
    values = confirm.run(COMPARED, confirming.Parents(small, on_gpu, for_gpu, for_gpu), tmp_path)
    assert 0 < values["ratio_low"] <= values["ratio"] <= values["ratio_high"]
    assert all(min(session["tuned_ms"] + session["untuned_ms"]) > 0 for session in values["sessions"])
    assert leased


def test_a_session_runs_code_on_the_device_of_the_targets_kind() -> None:
    session = tvm_rpc.LocalSession()
    for target, kind in ((TARGET, "opencl"), (native_target(), "cpu")):
        assert rpc.device(session, target) == session.device(kind)
