"""Engines to compare: each function runs in a process of its own and returns a timed function per variant."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks import zoo
from tests.benchmarks.common import Row, Timed, wall_clock

if TYPE_CHECKING:
    from dlas_ops.selection.selection import Measure

Engine = dict[str, Timed]


DLIGHT = "dlight"  # stands in a variant for TVM's own rules for GPUs
VECTORS = "vectors"  # ends a variant that does without instructions that multiply matrices
MATRICES = ("amx-bf16", "amx-int8", "amx-tile")


@dataclass(frozen=True)
class Variant:
    """One way to compile a network with this engine, written algorithm[:dtype][:csr@sparsity][:vectors]."""

    algorithm: str
    dtype: str = "float32"
    format: str = "dense"
    sparsity: float = 0.0
    vectors: bool = False

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Return the variant that `text` names, such as direct, auto:int8 or gemm:csr@0.9."""
        algorithm, *parts = text.split(":")
        fields: dict[str, Any] = {}
        for part in parts:
            name, _, sparsity = part.partition("@")
            if name in ("float32", "float16", "bfloat16", "int8"):
                fields["dtype"] = name
            elif name in ("dense", "csr"):
                fields |= {"format": name, "sparsity": float(sparsity or 0)}
            elif name == VECTORS:
                fields["vectors"] = True
            else:
                raise ValueError(f"'{part}' in '{text}' is no dtype, no format@sparsity and not {VECTORS}")
        return cls(algorithm, **fields)

    def __str__(self) -> str:
        sparse = f"@{self.sparsity}" if self.sparsity else ""
        parts = [self.dtype if self.dtype != "float32" else "", self.format + sparse if self.format != "dense" else ""]
        parts += [VECTORS] if self.vectors else []
        return ":".join([self.algorithm, *filter(None, parts)])


def torch_eager(spec: str, threads: int) -> Engine:
    """Run the network in torch, operator by operator."""
    import torch

    torch.set_num_threads(threads)
    model, data = zoo.network(spec), torch.randn(zoo.input_of(spec))

    def run() -> None:
        with torch.inference_mode():
            model(data)

    return {"torch": wall_clock(run)}


def onnxruntime(spec: str, threads: int, folder: Path, dtype: str) -> Engine:
    """Run the network in ONNX Runtime with all graph optimizations, its default."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    path = zoo.onnx_path(folder, dtype=dtype)
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: image(spec)}
    return {str(Variant("onnxruntime", dtype)): wall_clock(lambda: session.run(None, inputs))}


def openvino(spec: str, threads: int, folder: Path, dtype: str) -> Engine:
    """Run the network in OpenVINO for latency: in float32 without bfloat16, in int8 beside what it chooses."""
    import openvino as ov

    core = ov.Core()
    options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": threads}
    if dtype == "float32":
        options["INFERENCE_PRECISION_HINT"] = "f32"
    model = core.compile_model(core.read_model(str(zoo.onnx_path(folder, dtype=dtype))), "CPU", options)
    request = model.create_infer_request()
    request.set_input_tensor(ov.Tensor(image(spec)))
    return {str(Variant("openvino", dtype)): wall_clock(request.infer)}


def dlas(spec: str, threads: int, libraries: dict[str, Path]) -> Engine:
    """Run compiled libraries in TVM's virtual machine."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
    from dlas_ops._tvm import tvm

    data = tvm.runtime.tensor(image(spec))

    def runner(path: Path) -> Timed:
        machine = tvm.relax.VirtualMachine(tvm.runtime.load_module(str(path)), tvm.cpu())
        machine.set_input("main", data)
        return wall_clock(lambda: machine.invoke_stateful("main"))

    return {variant: runner(path) for variant, path in libraries.items()}


def compile_library(
    folder: Path,
    variant: Variant,
    threads: int,
    library: Path,
    target: Mapping[str, Any] | None = None,
    measuring: Callable[[Any, Any, Variant], Measure] | None = None,
) -> Row:
    """Compile the network in `folder`, write `library`; return seconds and this process's peak memory, or a refusal.

    Seconds are the processor's, which others that use the machine do not prolong: nearly all of it is one thread. The
    memory is the whole process's, TVM and ONNX included.

    Parameters
    ----------
    target
        This machine's unless given.
    measuring
        Model, target and variant → what times candidates for them; this process unless given.
    """
    import onnx

    import dlas_ops
    from dlas_ops._tvm import tvm
    from dlas_ops.processor.cpus import Cpu
    from dlas_ops.processor.targets import describe, native_target

    model = onnx.load(zoo.onnx_path(folder, variant.sparsity, variant.dtype))
    given = _on_cores(target or native_target(), threads)
    if variant.vectors:
        processor = describe(tvm.target.Target(given))
        if not (isinstance(processor, Cpu) and processor.matrix):
            return {"refused": "the processor multiplies no matrices"}
        given["mattr"] = [*given.get("mattr", []), *(f"-{name}" for name in MATRICES)]
    made_for = tvm.target.Target(given)
    options: dict[str, Any] = {"algorithm": variant.algorithm, "format": variant.format, "dtype": variant.dtype}
    start = time.process_time()
    try:
        if variant.algorithm == DLIGHT:
            _by_dlight(model, made_for).export_library(str(library))
            return {"compile_s": round(time.process_time() - start, 2)}
        measure = measuring and measuring(model, made_for, variant)
        compiled = dlas_ops.compile(model, made_for, measure=measure, **options)
    except (ValueError, NotImplementedError) as refusal:
        return {"refused": str(refusal)}
    except Exception as error:  # a bug, which must not cost the rest of a long run
        return {"refused": f"FAILED with {type(error).__name__}: {error}"}
    seconds = time.process_time() - start
    if variant.format != "dense" and not any(layer.ran.endswith(variant.format) for layer in compiled.layers):
        reasons = {layer.reason for layer in compiled.layers if layer.reason}
        return {"refused": f"no layer ran in format {variant.format}: {'; '.join(sorted(reasons))}"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    compiled.library.export_library(str(library))
    return {"compile_s": round(seconds, 2), "compile_mib": round(peak)}


def _on_cores(target: Mapping[str, Any], cores: int) -> dict[str, Any]:
    """Return a target whose processor, of a GPU its host, has so many cores."""
    if "host" in target:
        return {**target, "host": {**target["host"], "num-cores": cores}}
    return {**target, "num-cores": cores}


def _by_dlight(model: Any, target: Any) -> Any:
    """Compile a network with TVM's own rules for GPUs, which are its default there."""
    from tvm.relax import transform
    from tvm.relax.frontend.onnx import from_onnx
    from tvm.s_tir import dlight

    from dlas_ops._tvm import tvm
    from dlas_ops.passes.host_output import output_on_host

    with target:
        rules = (dlight.gpu.Matmul(), dlight.gpu.GEMV(), dlight.gpu.Reduction(), dlight.gpu.GeneralReduction(),
                 dlight.gpu.Fallback())  # fmt: skip
        passes = [
            transform.DecomposeOpsForInference(), transform.LegalizeOps(), transform.FoldConstant(),
            transform.AnnotateTIROpPattern(), transform.FuseOps(), transform.FuseTIR(),
            transform.DeadCodeElimination(), dlight.ApplyDefaultSchedule(*rules),
        ]  # fmt: skip
        lowered = tvm.transform.Sequential(passes)(from_onnx(model, keep_params_in_input=False))
        return tvm.relax.build(output_on_host(lowered), target)


def image(spec: str) -> Any:
    """Return the input, seeded."""
    import numpy as np

    return np.random.default_rng(0).standard_normal(zoo.input_of(spec)).astype(np.float32)


def in_process(function: Callable[..., Any], *arguments: object) -> Any:
    """Return `function(*arguments)`, called in a new process that ends with it."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
