"""Lowered network for Arm + its input → its output, one program after the other under qemu's emulation."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.lowering import Lowered
from dlas_ops.placement.value import shape_of

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
HARNESS = Path(__file__).with_name("harness.c")
CODES = {"i": 0, "u": 1, "f": 2, "V": 4, "b": 6}  # DLPack's; V is bfloat16, which NumPy has from outside

Array = NDArray[Any]


def available() -> bool:
    """Return whether Debian's qemu-user-static and gcc-aarch64-linux-gnu are installed."""
    return bool(shutil.which(COMPILER) and shutil.which(EMULATOR))


def run(lowered: Lowered, target: Any, data: Array, folder: Path) -> Array:
    """Return the output of a network whose programs are called in order, without branches."""
    dlas_ops.build(lowered, target).library.export_library(str(folder / "network.tar"))
    with tarfile.open(folder / "network.tar") as packed:
        packed.extractall(folder, filter="data")
    main = lowered.module["main"]
    values: dict[Any, Array] = {main.params[0]: data}
    for block in main.body.blocks:
        for binding in block.bindings:
            values[binding.var] = _evaluate(binding.value, values, folder)
    return values[main.body.body]


def _evaluate(expression: Any, values: dict[Any, Array], folder: Path) -> Array:
    if isinstance(expression, tvm.ir.GenericConst):
        return np.asarray(expression.value.numpy())
    if not isinstance(expression, tvm.relax.Call):
        return values[expression]
    if expression.op.name != "relax.call_tir":
        raise NotImplementedError(expression.op.name)
    program, arguments = expression.args
    inputs = [_evaluate(argument, values, folder) for argument in arguments.fields]
    output = np.zeros(shape_of(expression), str(expression.ty.dtype))
    return _call(program.name_hint, inputs, output, folder)


def _call(program: str, inputs: list[Array], output: Array, folder: Path) -> Array:
    from tvm_ffi.libinfo import include_paths  # at the head it would come before TVM, and load torch

    executable = folder / program
    headers = [f"-I{include}" for include in include_paths()]
    objects = [str(path) for path in folder.glob("*.o") if "devc" not in path.name]
    command = [COMPILER, "-static", "-O1", "-w", f"-DPROGRAM=__tvm_ffi_{program}", *headers, str(HARNESS), *objects]
    subprocess.run([*command, "-o", str(executable), "-lm"], check=True)
    with (folder / "in").open("wb") as file:
        np.array([len(inputs) + 1]).tofile(file)
        for array in [*inputs, output]:
            np.array([array.ndim, CODES[array.dtype.kind], array.itemsize * 8, *array.shape]).tofile(file)
            np.ascontiguousarray(array).tofile(file)
    subprocess.run([EMULATOR, executable, folder / "in", folder / "out"], check=True)
    return np.fromfile(folder / "out", output.dtype).reshape(output.shape)
