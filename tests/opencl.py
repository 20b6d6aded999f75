"""Whether TVM reaches an OpenCL device on this machine, for tests that need one; PoCL makes the processor one."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm


def lacking() -> str:
    """Return what this machine lacks; "" if TVM reaches an OpenCL device."""
    if not tvm.runtime.enabled("opencl"):
        return "TVM's runtime has no OpenCL: it needs one built with USE_OPENCL=ON"
    return "" if tvm.device("opencl", 0).exist else "there is no OpenCL device: sudo apt install pocl-opencl-icd"


def extensions() -> str:
    """Return the names of the extensions that the first OpenCL device has; without PyOpenCL the test is skipped."""
    cl = pytest.importorskip("pyopencl")
    return str(cl.get_platforms()[0].get_devices()[0].extensions)


needed = pytest.mark.skipif(bool(lacking()), reason=lacking())
