"""Imports and their cost: algorithms are listed without TVM, and TVM comes without torch."""

from __future__ import annotations

import subprocess
import sys


def modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after `code`."""
    script = f"{code}\nimport sys\nprint(*[name for name, module in sys.modules.items() if module])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_package_imports_no_tvm() -> None:
    code = "import dlas_ops; from dlas_ops.kernels.algorithms import direct, gemm, spatial_pack, winograd"
    assert not modules_after(code) & {"tvm", "tvm_ffi", "onnx", "torch"}


def test_tvm_comes_without_torch() -> None:
    code = "import dlas_ops; dlas_ops.lower; from tvm.relax.frontend.onnx import from_onnx"
    loaded = modules_after(code)
    assert "tvm" in loaded
    assert "torch" not in loaded


def test_torch_may_come_first_or_later() -> None:
    assert {"torch", "tvm"} <= modules_after("import dlas_ops; dlas_ops.lower; import torch")
