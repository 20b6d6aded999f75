"""Engines for NVIDIA GPUs to compare: torch, operator by operator and compiled, and ONNX Runtime.

The input lies on the GPU, and a run ends once the output is in the processor's memory, as it is with this project's
networks. TF32 is off: float32 is float32. Networks of float16 take and give float16; those of int8 are the very QDQ
models that this project compiles.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from tests.benchmarks import zoo
from tests.benchmarks.common import wall_clock
from tests.benchmarks.engines import Engine, Variant, image

TORCH, COMPILED, ONNXRUNTIME = PEERS = ("torch-cuda", "torch-compile-cuda", "onnxruntime-cuda")
PROVIDER = "CUDAExecutionProvider"


def lacking() -> dict[str, str]:
    """Return for each engine that cannot run here why not, in one sentence; it imports torch."""
    import torch

    found = {}
    if not torch.cuda.is_available():
        found = dict.fromkeys(PEERS, "torch finds no GPU with CUDA")
    if ONNXRUNTIME not in found:
        import onnxruntime

        if PROVIDER not in onnxruntime.get_available_providers():
            found[ONNXRUNTIME] = f"onnxruntime {onnxruntime.__version__} has no {PROVIDER}: install onnxruntime-gpu"
    return found


def calls(spec: str, folder: Path, absent: dict[str, str]) -> list[tuple[Any, ...]]:
    """Return a function with its arguments for every engine and dtype that is not `absent`."""
    own = {
        **{(name, dtype): (torch_cuda, spec, name, dtype)
           for name, dtype in product((TORCH, COMPILED), ("float32", "float16"))},
        **{(ONNXRUNTIME, dtype): (onnxruntime_cuda, spec, folder, dtype) for dtype in ("float32", "float16", "int8")},
    }  # fmt: skip
    return [call for (name, _), call in own.items() if name not in absent]


def torch_cuda(spec: str, name: str, dtype: str) -> Engine:
    """Run the network in torch, with cuDNN on NHWC, operator by operator or compiled for calls of little overhead."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    as_stored: Any = {"device": "cuda", "dtype": getattr(torch, dtype), "memory_format": torch.channels_last}
    model, data = zoo.network(spec).to(**as_stored), torch.from_numpy(image(spec)).to(**as_stored)
    network = torch.compile(model, mode="reduce-overhead") if name == COMPILED else model

    def run() -> None:
        with torch.inference_mode():
            network(data).cpu()

    return {str(Variant(name, dtype)): wall_clock(run)}


def onnxruntime_cuda(spec: str, folder: Path, dtype: str) -> Engine:
    """Run the network in ONNX Runtime on the GPU, with the convolutions that cuDNN finds to be the fastest."""
    import numpy as np
    import onnx
    import onnxruntime as ort

    model, data = onnx.load(zoo.onnx_path(folder, dtype=dtype)), image(spec)
    if dtype == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model, data = convert_float_to_float16(model), data.astype(np.float16)
    options = {"use_tf32": "0", "cudnn_conv_algo_search": "EXHAUSTIVE"}
    session = ort.InferenceSession(model.SerializeToString(), providers=[(PROVIDER, options)])
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, ort.OrtValue.ortvalue_from_numpy(data, "cuda", 0))
    binding.bind_output(session.get_outputs()[0].name, "cpu")
    return {str(Variant(ONNXRUNTIME, dtype)): wall_clock(lambda: session.run_with_iobinding(binding))}
