"""Target with instructions that multiply matrices, and a processor that runs them: this one, or this one and a handler.

Where the processor has none, ``matrices.c`` computes them as the signals come that it raises instead.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import Target
from dlas_ops.processor.targets import native_target
from tests.dlas_ops import small_networks as networks

SOURCE = Path(__file__).with_name("matrices.c")
NEEDED = {"int8": "avx512_vnni", "bfloat16": "avx512_bf16"}
COUNTED = ("begin", "multiply", "end")


def are_real() -> bool:
    """Return whether this processor multiplies matrices itself."""
    return "amx_int8" in networks.x86_flags()


def target_with(dtype: str) -> Target:
    """Return the target of this machine with matrices, and see that they are computed; skip where they cannot be."""
    if NEEDED[dtype] not in networks.x86_flags():
        pytest.skip(f"this processor has no {NEEDED[dtype]}, which every processor with matrices has")
    if are_real():
        return networks.target()
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler")
    _handler()
    native = native_target()
    return tvm.target.Target({**native, "mattr": [*native.get("mattr", []), "+amx-tile", "+amx-int8", "+amx-bf16"]})


def counts() -> dict[str, int]:
    """Return how often the handler has begun with matrices, multiplied two, and ended with them, in all threads."""
    return {name: _handler().count(number) for number, name in enumerate(COUNTED)}


@cache
def _handler() -> ctypes.CDLL:
    with TemporaryDirectory() as folder:
        library = Path(folder) / "matrices.so"
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", SOURCE, "-o", library], check=True)
        handler = ctypes.CDLL(str(library))
    handler.count.restype = ctypes.c_long
    handler.install()
    return handler
