"""Library and sample images of this bundle → their classes, how far outputs lie from the expected ones, and the time.

It needs TVM's runtime and NumPy: ``pip install apache-tvm apache-tvm-ffi numpy``, in the versions of ``manifest.json``.
Exit code: 0 if the outputs agree, 1 if they do not, 2 if something is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SHARED = "network.so"

Run = Callable[[np.ndarray], np.ndarray]


class Missing(Exception):
    """Something that the network needs; the message says what, in one sentence."""


def loaded(manifest: dict[str, Any]) -> Run:
    """Return a function that runs the network on a batch of normalised images and returns its logits.

    Raises
    ------
    Missing
        If the library is not linked, or TVM does not reach the device.
    """
    if not (HERE / SHARED).exists():
        raise Missing(f"{SHARED} is not linked yet: in {HERE}, type: {manifest['library']['link']}")
    # TVM reads both when it starts: how many threads it computes on, and that it does without its compiler.
    os.environ["TVM_NUM_THREADS"] = str(manifest["device"]["threads"])
    os.environ["TVM_USE_RUNTIME_LIB"] = "1"
    import tvm
    from tvm.runtime.vm import VirtualMachine

    kind = manifest["device"]["target"]["kind"]
    if kind != "llvm":
        with contextlib.suppress(OSError):  # the part of the runtime that a GPU needs, which lies beside it
            ctypes.CDLL(str(Path(tvm.libinfo.find_libtvm_runtime()).with_name(f"libtvm_runtime_{kind}.so")))
    device = tvm.cpu() if kind == "llvm" else tvm.device(kind)
    if not device.exist:
        raise Missing(f"TVM reaches no device of kind {kind} here; it needs {manifest['device']['needs']}")
    library = tvm.runtime.load_module(str(HERE / SHARED))
    network = VirtualMachine(library, device if kind == "llvm" else [device, tvm.cpu()])

    def run(images: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = network["main"](tvm.runtime.tensor(images, device)).numpy()
        return outputs

    return run


def normalised(pixels: np.ndarray, taken: dict[str, Any]) -> np.ndarray:
    """Return 8-bit pixels (N, C, H, W) as the network takes them: a factor and an offset for each channel."""
    factor, offset = (np.array(taken[name], np.float32)[:, None, None] for name in ("factor", "offset"))
    images: np.ndarray = pixels * factor - offset
    return images


def agree(outputs: np.ndarray, manifest: dict[str, Any]) -> bool:
    """Print the classes of the samples, if any, and how far the outputs lie off; return whether that is allowed."""
    names = manifest["output"]["class_names"]
    if names:
        print("classes of the samples:", *(names[best] for best in outputs.argmax(1)))
    expected = np.load(HERE / manifest["samples"]["expected"])
    error = float(np.abs(outputs - expected).max() / np.abs(expected).max())
    allowed = float(manifest["samples"]["tolerance"])
    verdict = "agree" if error <= allowed else "DISAGREE"
    print(f"outputs {verdict}: off by at most {error:.2g} of their range, allowed: {allowed:g}")
    return error <= allowed


def median_ms(run: Run, images: np.ndarray, runs: int) -> float:
    """Return the median time of a run, in ms."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        run(images)
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken)


def main() -> int:
    """Run the samples, print what comes of it and return the exit code."""
    begin = time.perf_counter()
    parser = argparse.ArgumentParser(description="Run the network of this bundle on its samples.")
    parser.add_argument("--runs", type=int, default=30, help="timed runs (%(default)s)")
    asked = parser.parse_args()
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    try:
        run = loaded(manifest)
    except Missing as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 2
    images = normalised(np.load(HERE / manifest["samples"]["pixels"]), manifest["input"])
    batch, threads = manifest["input"]["shape"][0], manifest["device"]["threads"]
    outputs = [run(images[:batch])]
    print(f"first outputs after {1e3 * (time.perf_counter() - begin):.0f} ms")
    outputs += [run(images[first : first + batch]) for first in range(batch, len(images), batch)]
    right = agree(np.concatenate(outputs), manifest)
    taken = median_ms(run, images[:batch], max(1, asked.runs))
    print(f"{taken:.4f} ms a run: batch {batch}, threads {threads}, the median of {max(1, asked.runs)} runs")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
