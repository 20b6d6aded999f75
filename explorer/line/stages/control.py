"""Target → the control's programs for its processor and for its GPU as libraries; see `dlas_ops.control`."""

from __future__ import annotations

from pathlib import Path

import tvm

from dlas_ops import control, gpu_peaks
from explorer.line.contracts.control import Parameters, Parents, Values
from explorer.line.device.control import GPU_LIBRARY, LIBRARY
from explorer.space.gpu_targets import is_gpu

VERSION = 2
WORKER = "tvm"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the processor's library and, where the target is a GPU's, that one's."""
    target = tvm.target.Target(parameters.target)
    control.build(target.host or target).export_library(str(out / LIBRARY))
    if is_gpu(parameters.target):
        gpu_peaks.build_beside(target).export_library(str(out / GPU_LIBRARY))
    return {}
