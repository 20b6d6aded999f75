"""Selecting an algorithm for each layer on a GPU: candidates are timed on it, and the network then runs so."""

from __future__ import annotations

import pytest

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import native_target
from dlas_ops.selection import candidates
from tests import opencl
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.opencl import POCL


@opencl.needed
def test_a_gpu_of_this_machine_is_selected_for() -> None:
    network = networks.repeated()
    compiled = dlas_ops.compile(network, POCL, algorithm="auto")
    for layer in compiled.layers:
        assert layer.asked == "auto/dense"
        measured = layer.measured
        assert measured is not None
        assert set(measured) == {f"{name}/dense" for name in ("direct", "gemm", "spatial_pack", "winograd")}
        assert min(measured.values()) > 0
        assert Asked.parse(layer.ran).implemented
    data = networks.random(networks.shape_of(networks.REPEATED))
    networks.assert_close(networks.run_on_gpu(compiled.library, data), networks.run_onnxruntime(network, data))


def test_a_gpu_elsewhere_is_not() -> None:
    elsewhere = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", "num-cores": 4}
    board = tvm.target.Target({"kind": "opencl", "device": "mali", "host": elsewhere})
    with pytest.raises(ValueError, match=f"is not this machine, {native_target()['mcpu']}"):
        dlas_ops.select(networks.repeated(), board)
    nowhere = tvm.target.Target({"kind": "opencl", "device": "mali"})
    with pytest.raises(ValueError, match="is not this machine"):
        dlas_ops.select(networks.repeated(), nowhere)


def test_a_gpu_that_tvm_does_not_reach_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tvm.runtime, "enabled", lambda kind: False)
    target = tvm.target.Target({"kind": "cuda", "arch": "sm_87", "host": native_target()})
    with pytest.raises(ValueError, match="TVM's runtime reaches no cuda device here"):
        dlas_ops.select(networks.repeated(), target)


@opencl.needed
@pytest.mark.parametrize(
    ("operator", "dtype"),
    [("conv2d", "int8"), ("depthwise_conv2d", "float32"), ("max_pool2d", "int8"), ("convert", "float32")],
)
def test_every_candidate_runs_there(operator: str, dtype: str) -> None:
    groups = 20 if operator == "depthwise_conv2d" else 1
    conv = Conv(2, 20, 9, 11, 20, (3, 3), (2, 1), (1, 0, 1, 2), groups=groups)
    built = candidates.build([Problem(operator, conv, operator == "convert", dtype)], POCL)
    [timed] = candidates.time_here(built, 1 << 20, tvm.device("opencl", 0))
    assert len(timed) > 1
    assert list(timed) == list(built.functions[0])
    assert min(timed.values()) > 0
